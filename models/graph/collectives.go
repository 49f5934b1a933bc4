package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Group is the place of a process among those that train one model together. The zero
// value is a process by itself.
type Group struct {
	Rank int // from 0
	Size int // how many processes there are; 0 and 1 are one
}

// Alone tells whether there is nobody to exchange anything with.
func (p Group) Alone() bool { return p.Size <= 1 }

// AllGather is the rows x [N, ...] of every process of a group, in the order of their
// ranks: [Size*N, ...]. All processes run the same collectives in the same order.
func (g *Graph) AllGather(x *Value, p Group) *Value {
	g.collective("AllGather", x)
	if x.Rank() == 0 || p.Rank < 0 || p.Rank >= p.Size {
		g.Fail("AllGather", "no rows of rank %d of %d in shape %v", p.Rank, p.Size, x.Shape)
	}
	shape := slices.Clone(x.Shape)
	shape[0] *= p.Size
	return g.op(DomainCollectives, "AllGather", []Attr{{"rank", p.Rank}, {"size", p.Size}}, []*Value{x}, &Value{Type: x.Type, Shape: shape})[0]
}

// AllReduce is the sum of x over the processes of a group, the same in each of them.
func (g *Graph) AllReduce(x *Value, p Group) *Value {
	g.collective("AllReduce", x)
	return g.op(DomainCollectives, "AllReduce", []Attr{{"size", p.Size}}, []*Value{x}, like(x))[0]
}

func (g *Graph) collective(op string, x *Value) {
	g.plain(op, x)
	if g.Standard {
		g.Fail(op, "there is no standard operator that exchanges tensors")
	}
	if x.Type != tensor.Float32 {
		g.Fail(op, "%s is %v: processes exchange float32", x.Name, x.Type)
	}
}
