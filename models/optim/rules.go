package optim

import "vicreg/models/graph"

// sgd is PyTorch's SGD with momentum: d += wd*p; m = mu*m + d; p -= lr*m.
func sgd(b *builder, v measured) *graph.Value {
	return b.momentum(v, func() *graph.Value { return b.decayed(v) })
}

// lars scales each weight's step to the norm of the weight (You et al., 2017, in the form used by
// the authors of VICReg): parameters of rank 1 are neither decayed nor scaled. Clip is
// solo-learn's LARC variant.
func lars(b *builder, v measured) *graph.Value {
	return b.momentum(v, func() *graph.Value {
		if v.vector() {
			return v.d
		}
		d := b.decayed(v)
		return b.g.Mul(d, b.trust(v, d))
	})
}

// trust returns the factor, [], by which LARS multiplies the step d of a weight.
func (b *builder) trust(v measured, d *graph.Value) *graph.Value {
	g := b.g
	weight, step := g.Sqrt(v.weight2), g.Sqrt(b.sumSquares(d))
	zero := g.Float(0)
	both := g.And(g.Greater(weight, zero), g.Greater(step, zero))
	rate := g.Div(g.Mul(weight, g.Float(b.Trust)), step)
	if b.Clip { // lr times this is the smaller of rate and lr
		rate = g.Min(g.Div(rate, b.lr), g.Float(1))
	}
	return g.Where(both, rate, g.Float(1))
}

// decayed is d + wd*p.
func (b *builder) decayed(v measured) *graph.Value {
	if b.WeightDecay == 0 {
		return v.d
	}
	return b.g.Add(v.d, b.g.Mul(v.Value, b.factor(b.WeightDecay)))
}

// momentum is m = mu*m + d; p -= lr*m. The runtime computes later operands first: d, then mu*m,
// which need not be held in memory while d is computed.
func (b *builder) momentum(v measured, d func() *graph.Value) *graph.Value {
	g := b.g
	m := b.stateOf(v, ".momentum")
	old := g.Mul(m.In, b.factor(b.Momentum))
	m.Out = g.Add(old, d())
	return g.Sub(v.Value, g.Mul(m.Out, b.lr))
}

// adamScalars are shared by all variables of a step, [1] each.
type adamScalars struct {
	rate    *graph.Value // lr / (1 - beta1^t)
	correct *graph.Value // 1 / (1 - beta2^t)
}

// startAdam counts the step and prepares the bias corrections.
func (b *builder) startAdam() {
	g := b.g
	t := b.keep("optimizer.step", 1)
	t.Out = g.Add(t.In, g.Full(1, 1))
	correction := func(beta float64) *graph.Value {
		return g.Sub(g.Float(1), g.Pow(g.Float(beta), t.Out))
	}
	b.adam = adamScalars{
		rate:    g.Div(b.lr, correction(b.Beta1)),
		correct: g.Reciprocal(correction(b.Beta2)),
	}
}

// adamW is Adam with decoupled weight decay (Loshchilov and Hutter, 2019), as in
// PyTorch: p -= lr*wd*p; p -= lr * mhat / (sqrt(vhat) + eps). Parameters of rank 1
// are not decayed.
func adamW(b *builder, v measured) *graph.Value {
	g, d := b.g, v.d
	m := b.stateOf(v, ".exp_avg")
	m.Out = g.Add(g.Mul(m.In, b.factor(b.Beta1)), g.Mul(d, g.Float(1-b.Beta1)))
	newM := m.Out
	s := b.stateOf(v, ".exp_avg_sq")
	s.Out = g.Add(g.Mul(s.In, b.factor(b.Beta2)), g.Mul(g.Mul(d, d), g.Float(1-b.Beta2)))
	p := v.Value
	if b.WeightDecay != 0 && !v.vector() {
		p = g.Mul(p, g.Sub(g.Float(1), g.Mul(b.lr, b.factor(b.WeightDecay))))
	}
	denominator := g.Add(g.Sqrt(g.Mul(s.Out, b.adam.correct)), g.Float(b.Eps))
	return g.Sub(p, g.Mul(g.Div(newM, denominator), b.adam.rate))
}
