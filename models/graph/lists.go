package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file are vicreg's own, on CUDA devices, like those of cudnn.go. They take
// many tensors of any shapes at once, since a node per tensor would cost more than its computation.
// All values are plain, and float32 unless stated otherwise.

// Dots returns [3, n]: for each of n variables the sums of p*p, g*g and p*g, where g is its
// gradient.
func (g *Graph) Dots(ps, gs []*Value) *Value {
	g.lists("Dots", tensor.Float32, ps, gs)
	out := &Value{Type: tensor.Float32, Shape: []int{3, len(ps)}}
	return g.op(DomainCUDA, "Dots", nil, slices.Concat(ps, gs), out)[0]
}

// MomentumStep configures Momentum: Decay and Rate have an element for each variable, LR has one.
type MomentumStep struct {
	Momentum        float32
	Decay, Rate, LR *Value
}

// Momentum takes a step of gradient descent for variables p with gradients g; with a Momentum of 0,
// m is not read:
//
//	m' = Momentum*m + Rate*(g + Decay*p)
//	p' = p - LR*m'
func (g *Graph) Momentum(s MomentumStep, ps, gs, ms []*Value) (nextP, nextM []*Value) {
	g.lists("Momentum", tensor.Float32, ps, gs, ms)
	n := len(ps)
	for i, v := range []*Value{s.Decay, s.Rate, s.LR} {
		if want := []int{n, n, 1}[i]; v.Type != tensor.Float32 || v.Elements() != want {
			g.Fail("Momentum", "%v%v for %d variables", v.Type, v.Shape, n)
		}
	}
	in := slices.Concat([]*Value{s.Decay, s.Rate, s.LR}, ps, gs, ms)
	out := likeEach(slices.Concat(ps, ps), tensor.Float32)
	g.op(DomainCUDA, "Momentum", []Attr{{"momentum", s.Momentum}}, in, out...)
	return out[:n], out[n:]
}

// AdamStep configures Adam: Decay has an element for each variable, the other values have one. Rate
// and Correct include the bias corrections of the step. Gradients are first multiplied by Inv.
type AdamStep struct {
	Beta1, Beta2, Eps         float64
	Decay, Rate, Correct, Inv *Value
}

// Adam takes a step for variables p with gradients g. With d = Inv*g,
//
//	m' = Beta1*m + (1-Beta1)*d
//	v' = Beta2*v + (1-Beta2)*d*d
//	p' = p - Decay*p - Rate*m'/(sqrt(Correct*v') + Eps)
func (g *Graph) Adam(s AdamStep, ps, gs, ms, vs []*Value) (nextP, nextM, nextV []*Value) {
	g.lists("Adam", tensor.Float32, ps, gs, ms, vs)
	n, scalars := len(ps), []*Value{s.Decay, s.Rate, s.Correct, s.Inv}
	for i, v := range scalars {
		if want := []int{n, 1, 1, 1}[i]; v.Type != tensor.Float32 || v.Elements() != want {
			g.Fail("Adam", "%v%v for %d variables", v.Type, v.Shape, n)
		}
	}
	attrs := []Attr{{"fresh1", float32(1 - s.Beta1)}, {"fresh2", float32(1 - s.Beta2)}, {"eps", float32(s.Eps)}}
	out := likeEach(slices.Concat(ps, ps, ps), tensor.Float32)
	g.op(DomainCUDA, "Adam", attrs, slices.Concat(scalars, ps, gs, ms, vs), out...)
	return out[:n], out[n : 2*n], out[2*n:]
}

// Blend returns weighted sums of one to three sources, each a list of tensors like the first list:
// weights [k, n] are for k sources of n tensors. A later list may hold several sources, stacked
// along an extra leading axis of its tensors.
func (g *Graph) Blend(weights *Value, lists ...[]*Value) []*Value {
	first, sources := lists[0], 0
	for _, list := range lists {
		stacked := 1
		if len(list) > 0 && len(list) == len(first) && list[0].Rank() == first[0].Rank()+1 {
			stacked = list[0].Shape[0]
		}
		sources += stacked
		g.lists("Blend", tensor.Float32, rows(first, list, stacked), list)
	}
	if sources > 3 {
		g.Fail("Blend", "%d sources", sources)
	}
	n := len(first)
	if weights.Type != tensor.Float32 || !slices.Equal(weights.Shape, []int{sources, n}) {
		g.Fail("Blend", "weights %v%v for %d sources of %d", weights.Type, weights.Shape, sources, n)
	}
	out := likeEach(first, tensor.Float32)
	return g.op(DomainCUDA, "Blend", nil, append([]*Value{weights}, slices.Concat(lists...)...), out...)
}

// rows are values with the shapes required of a list that stacks several sources.
func rows(first, list []*Value, stacked int) []*Value {
	if len(list) == 0 || len(list) != len(first) || list[0].Rank() == first[0].Rank() {
		return first
	}
	out := likeEach(first, tensor.Float32)
	for _, v := range out {
		v.Shape = append([]int{stacked}, v.Shape...)
	}
	return out
}

// Sums returns x + z for each pair. All have one type; the sums are float32 even in half precision.
func (g *Graph) Sums(xs, zs []*Value) []*Value {
	t := tensor.Float32
	if len(xs) > 0 && xs[0].Type.Half() {
		t = xs[0].Type
	}
	g.lists("Sums", t, xs, zs)
	return g.op(DomainCUDA, "Sums", nil, slices.Concat(xs, zs), likeEach(xs, tensor.Float32)...)
}

// Halves casts tensors to a half-precision type.
func (g *Graph) Halves(xs []*Value, t tensor.DType) []*Value {
	return g.halves(xs, likeEach(xs, t))
}

// halves computes ys, all of one half-precision type, from float32 xs.
func (g *Graph) halves(xs, ys []*Value) []*Value {
	g.lists("Halves", tensor.Float32, xs)
	return g.op(DomainCUDA, "Halves", nil, slices.Concat([]*Value{g.zeros(ys[0].Type, 1)}, xs), ys...)
}

// likeEach are values of type t with the shapes of xs.
func likeEach(xs []*Value, t tensor.DType) []*Value {
	out := make([]*Value, len(xs))
	for i, x := range xs {
		out[i] = &Value{Type: t, Shape: slices.Clone(x.Shape)}
	}
	return out
}

// lists fails unless all tensors are plain, of type t, and match in shape from list to list.
func (g *Graph) lists(op string, t tensor.DType, lists ...[]*Value) {
	if len(lists[0]) == 0 {
		g.Fail(op, "no tensors")
	}
	for _, list := range lists {
		if len(list) != len(lists[0]) {
			g.Fail(op, "%d tensors and %d", len(lists[0]), len(list))
		}
		g.plain(op, list...)
		for i, v := range list {
			if like := lists[0][i]; v.Type != t || !slices.Equal(v.Shape, like.Shape) {
				g.Fail(op, "%v%v for a variable %v", v.Type, v.Shape, like.Shape)
			}
		}
	}
}
