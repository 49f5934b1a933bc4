package optim

import (
	"math"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// With operators that take all variables at once, an optimiser is some dozens of nodes:
// per-variable quantities, such as norms and rates, are elements of one tensor.

// together holds all variables of a step, with gradients multiplied by the loss scale.
type together struct {
	*builder
	vars           []Variable
	ps, gs         []*graph.Value
	lossScale, inv *graph.Value // [1], and its reciprocal
	dots           []*graph.Value
}

// together is Forward with operators that take all variables at once.
func (b *builder) together(vars []Variable, lossScale *graph.Value) Result {
	g := b.g
	t := together{builder: b, vars: vars, lossScale: lossScale}
	for _, v := range vars {
		t.ps, t.gs = append(t.ps, v.Value), append(t.gs, v.Grad)
	}
	r := Result{}
	g.Prefix("optim", func() {
		t.inv = g.Reciprocal(lossScale)
		t.dots = g.Split(g.Dots(t.ps, t.gs), 0, 3)
		r.WeightNorm = t.normOf(t.dots[0])
		r.GradNorm = g.Mul(t.normOf(t.dots[1]), t.inv)
		r.Finite = finiteNorm(g, g.Add(r.GradNorm, r.WeightNorm)) // both are non-negative, so nothing cancels
		if b.ClipNorm > 0 {
			t.lossScale, t.inv = b.rescale(lossScale, r.GradNorm)
		}
		if b.Name == "adamw" {
			r.Values = t.stepAdam()
		} else {
			r.Values = t.stepMomentum()
		}
	})
	r.State = b.state
	return r
}

// stepMomentum is sgd and lars. With the gradient g times the loss scale s, a step is
// d = g + s*wd*p, m' = mu*m + rate/s*d, p' = p - lr*m'.
func (t together) stepMomentum() []*graph.Value {
	g := t.g
	decay := g.Mul(t.lossScale, t.ofEach("decay", t.decays, t.WeightDecay))
	step := graph.MomentumStep{Momentum: float32(t.Momentum), Decay: decay, LR: t.lr}
	if t.Name == "lars" {
		step.Rate = g.Mul(t.trusts(decay), t.inv)
	} else {
		step.Rate = g.Mul(t.inv, g.Full(1, len(t.vars)))
	}
	states := t.keepEach(".momentum")
	next, ms := g.Momentum(step, t.ps, t.gs, states[0])
	t.become(ms)
	return next
}

// stepAdam is adamW. The decay subtracts lr*wd*p from each variable.
func (t together) stepAdam() []*graph.Value {
	decay := t.g.Mul(t.lr, t.ofEach("decay", t.decays, t.WeightDecay))
	step := graph.AdamStep{Beta1: t.Beta1, Beta2: t.Beta2, Eps: t.Eps, Decay: decay, Rate: t.adam.rate, Correct: t.adam.correct, Inv: t.inv}
	states := t.keepEach(".exp_avg", ".exp_avg_sq")
	next, ms, vs := t.g.Adam(step, t.ps, t.gs, states[0], states[1])
	t.become(ms, vs)
	return next
}

// keepEach declares the state tensors of one variable after the other and returns their current
// values by suffix.
func (t together) keepEach(suffixes ...string) [][]*graph.Value {
	lists := make([][]*graph.Value, len(suffixes))
	for _, v := range t.vars {
		for i, suffix := range suffixes {
			lists[i] = append(lists[i], t.keep(v.Name+suffix, v.Value.Shape...).In)
		}
	}
	return lists
}

// become sets the new values of the state tensors that keepEach declared, which are the last.
func (t together) become(lists ...[]*graph.Value) {
	last := t.state[len(t.state)-len(lists)*len(t.vars):]
	for i := range last {
		last[i].Out = lists[i%len(lists)][i/len(lists)]
	}
}

// decays reports whether a variable has weight decay, and layerwise whether it has a rate of its
// own.
func (t together) decays(v Variable) bool    { return t.Name == "sgd" || v.Value.Rank() >= 2 }
func (t together) layerwise(v Variable) bool { return v.Value.Rank() >= 2 }

// ofEach returns a constant [1, n], x for each variable that has it and 0 for the others.
func (t together) ofEach(what string, has func(Variable) bool, x float64) *graph.Value {
	return t.g.Const("optim."+what, func() *tensor.Tensor {
		all := make([]float32, len(t.vars))
		for i, v := range t.vars {
			if has(v) {
				all[i] = float32(x)
			}
		}
		return tensor.Of(all, 1, len(t.vars))
	})
}

// trusts is trust for each variable, [1, n], computed from the dots; it is 1 for vectors. So is
// the squared norm of a step, which cancellation can make negative.
func (t together) trusts(decay *graph.Value) *graph.Value {
	g, dots := t.g, t.dots
	cross := g.Mul(decay, g.Add(g.Mul(dots[2], g.Float(2)), g.Mul(decay, dots[0])))
	step := g.Mul(g.Sqrt(g.Max(g.Add(dots[1], cross), g.Float(0))), t.inv)
	weight := g.Mul(g.Sqrt(dots[0]), t.ofEach("layerwise", t.layerwise, 1))
	rate := g.Div(g.Mul(weight, g.Float(t.Trust)), step)
	if t.Clip { // lr times this is the smaller of rate and lr
		rate = g.Min(g.Div(rate, t.lr), g.Float(1))
	}
	return g.Where(g.Greater(g.Min(weight, step), g.Float(0)), rate, g.Float(1))
}

// normOf returns the square root, [1], of the sum of squares [1, n].
func (t together) normOf(squares *graph.Value) *graph.Value {
	return t.g.Sqrt(t.g.ReduceSum(squares, false, 1))
}

// finiteNorm is finite for non-negative x.
func finiteNorm(g *graph.Graph, x *graph.Value) *graph.Value {
	return g.Cast(g.Greater(g.Float(math.MaxFloat32), x), tensor.Float32)
}
