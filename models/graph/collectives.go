package graph

import "vicreg/models/tensor"

// Group is the place of a process among those that train one model together. The zero
// value is a process by itself.
type Group struct {
	Rank int // from 0
	Size int // how many processes there are; 0 and 1 are one
}

// Alone tells whether there is nobody to exchange anything with.
func (p Group) Alone() bool { return p.Size <= 1 }

// AllGather gives of each tensor [N, ...] the rows of every process of a group, in the order of
// their ranks: [Size*N, ...]. All processes run the same collectives in the same order: what is
// exchanged at one point is given to one call, as the runtime is free to choose among nodes
// that do not depend on each other.
func (g *Graph) AllGather(p Group, xs ...*Value) []*Value {
	g.collective("AllGather", xs)
	all := likeEach(xs, tensor.Float32)
	for i, x := range xs {
		if x.Rank() == 0 || p.Rank < 0 || p.Rank >= p.Size {
			g.Fail("AllGather", "no rows of rank %d of %d in shape %v", p.Rank, p.Size, x.Shape)
		}
		all[i].Shape[0] *= p.Size
	}
	return g.op(DomainCollectives, "AllGather", []Attr{{"rank", p.Rank}, {"size", p.Size}}, xs, all...)
}

// AllReduce gives the sum of each tensor over the processes of a group, the same in each of
// them. Small ones are exchanged together.
func (g *Graph) AllReduce(p Group, xs ...*Value) []*Value {
	g.collective("AllReduce", xs)
	return g.op(DomainCollectives, "AllReduce", []Attr{{"size", p.Size}}, xs, likeEach(xs, tensor.Float32)...)
}

func (g *Graph) collective(op string, xs []*Value) {
	if len(xs) == 0 {
		g.Fail(op, "no tensors")
	}
	g.plain(op, xs...)
	if g.Standard {
		g.Fail(op, "there is no standard operator that exchanges tensors")
	}
	for _, x := range xs {
		if x.Type != tensor.Float32 {
			g.Fail(op, "%s is %v: processes exchange float32", x.Name, x.Type)
		}
	}
}
