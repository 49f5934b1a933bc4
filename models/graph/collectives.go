package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Group is the place of a process among those that train one model together. The zero value is a
// single process.
type Group struct {
	Rank int // from 0
	Size int // number of processes; 0 and 1 both mean one
}

// Alone reports whether there is no other process to exchange tensors with.
func (p Group) Alone() bool { return p.Size <= 1 }

// Processes returns the number of processes, at least 1.
func (p Group) Processes() int { return max(p.Size, 1) }

// AllGather returns, for each tensor [N, ...], the rows of every process of a group in rank order:
// [Size*N, ...]. All processes must run the same collectives in the same order, so each collective
// depends on the one built before it: the runtime may reorder nodes that do not depend on each
// other.
func (g *Graph) AllGather(p Group, xs ...*Value) []*Value {
	g.exchangeable("AllGather", xs)
	all := likeEach(xs, tensor.Float32)
	for i, x := range xs {
		if x.Rank() == 0 || p.Rank < 0 || p.Rank >= p.Size {
			g.Fail("AllGather", "no rows of rank %d of %d in shape %v", p.Rank, p.Size, x.Shape)
		}
		all[i].Shape[0] *= p.Size
	}
	return g.collective("AllGather", []Attr{{"rank", p.Rank}, {"size", p.Size}}, xs, all)
}

// AllReduce returns the sum of each tensor over the processes of a group, identical in all of them.
// Small tensors are exchanged together.
func (g *Graph) AllReduce(p Group, xs ...*Value) []*Value {
	g.exchangeable("AllReduce", xs)
	return g.collective("AllReduce", []Attr{{"size", p.Size}}, xs, likeEach(xs, tensor.Float32))
}

// collective adds a node with an extra input, the last collective's output, which makes it wait.
func (g *Graph) collective(op string, attrs []Attr, xs, outputs []*Value) []*Value {
	if g.last != nil {
		xs = append(slices.Clone(xs), g.last)
		attrs = append(attrs, Attr{"after", 1})
	}
	out := g.op(DomainCollectives, op, attrs, xs, outputs...)
	g.last = out[0]
	return out
}

func (g *Graph) exchangeable(op string, xs []*Value) {
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
