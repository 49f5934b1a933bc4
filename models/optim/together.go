package optim

import (
	"math"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Where there are operators that take all variables at once, sgd and lars are a dozen
// nodes: what each variable has of its own, norms and rates, is an element of [n].

// together is Forward for sgd and lars. With the gradient g times the loss scale s, a step
// is d = g + s*wd*p, m' = mu*m + rate/s*d, p' = p - lr*m'.
func (b *builder) together(vars []Variable, lossScale *graph.Value) Result {
	g, n := b.g, len(vars)
	ps, gs, ms := make([]*graph.Value, n), make([]*graph.Value, n), make([]*graph.Value, n)
	for i, v := range vars {
		ps[i], gs[i] = v.Value, v.Grad
		ms[i] = b.keep(v.Name+".momentum", v.Value.Shape...).In
	}
	r := Result{}
	g.Prefix("optim", func() {
		b.fuse = &fused{lossScale, g.Reciprocal(lossScale)}
		dots := g.Split(g.Dots(ps, gs), 0, 3)
		r.WeightNorm = b.normOf(dots[0])
		r.GradNorm = g.Mul(b.normOf(dots[1]), b.fuse.inv)
		r.Finite = finiteNorm(g, g.Add(r.GradNorm, r.WeightNorm)) // neither is negative: nothing cancels
		decay := g.Mul(lossScale, b.ofEach(vars, "decay", b.decays, b.WeightDecay))
		step := graph.MomentumStep{Momentum: float32(b.Momentum), Decay: decay, LR: b.lr}
		if step.Rate = g.Mul(b.fuse.inv, g.Full(1, n)); b.Name == "lars" {
			step.Rate = g.Mul(b.trusts(vars, dots, decay), b.fuse.inv)
		}
		r.Values, ms = g.Momentum(step, ps, gs, ms)
	})
	for i := range b.state {
		b.state[i].Out = ms[i]
	}
	r.State = b.state
	return r
}

// decays tells whether a variable has weight decay, and layerwise whether it has a rate of
// its own.
func (b *builder) decays(v Variable) bool    { return b.Name == "sgd" || b.layerwise(v) }
func (b *builder) layerwise(v Variable) bool { return b.Name == "lars" && v.Value.Rank() >= 2 }

// ofEach is a constant [1, n] with x for each variable that has it, 0 for others.
func (b *builder) ofEach(vars []Variable, what string, has func(Variable) bool, x float64) *graph.Value {
	return b.g.Const("optim."+what, func() *tensor.Tensor {
		all := make([]float32, len(vars))
		for i, v := range vars {
			if has(v) {
				all[i] = float32(x)
			}
		}
		return tensor.Of(all, 1, len(vars))
	})
}

// trusts is trust for each variable, [1, n], from its dots; of a vector it is 1. The norm of
// a step follows from them, but where it cancels, its square may be below 0.
func (b *builder) trusts(vars []Variable, dots []*graph.Value, decay *graph.Value) *graph.Value {
	g := b.g
	cross := g.Mul(decay, g.Add(g.Mul(dots[2], g.Float(2)), g.Mul(decay, dots[0])))
	step := g.Mul(g.Sqrt(g.Max(g.Add(dots[1], cross), g.Float(0))), b.fuse.inv)
	weight := g.Mul(g.Sqrt(dots[0]), b.ofEach(vars, "layerwise", b.layerwise, 1))
	rate := g.Div(g.Mul(weight, g.Float(b.Trust)), step)
	if b.Clip { // lr times this is the smaller of rate and lr
		rate = g.Min(g.Div(rate, b.lr), g.Float(1))
	}
	return g.Where(g.Greater(g.Min(weight, step), g.Float(0)), rate, g.Float(1))
}

// normOf is the root of the sum of squares [1, n], [1].
func (b *builder) normOf(squares *graph.Value) *graph.Value {
	return b.g.Sqrt(b.g.ReduceSum(squares, false, 1))
}

// finiteNorm is finite for what is not below 0.
func finiteNorm(g *graph.Graph, x *graph.Value) *graph.Value {
	return g.Cast(g.Greater(g.Float(math.MaxFloat32), x), tensor.Float32)
}
