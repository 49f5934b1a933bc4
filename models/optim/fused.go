package optim

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// fused holds the scalars, [1] each, that fusedMomentum shares between stacks.
type fused struct{ lossScale, inv *graph.Value }

// fusedMomentum is sgd and lars with each line of the formula in a single pass. With the gradient
// g multiplied by the loss scale s, and t = m'/mu:
//
//	d = g + s*wd*p, t = m + rate/(s*mu)*d, m' = mu*t, p' = p - lr*mu*t
func fusedMomentum(b *builder, v measured) *graph.Value {
	g := b.g
	column := func(x *graph.Value) *graph.Value { return g.Add(b.zero, x) }
	m := b.stateOf(v, ".momentum")
	d, rate := v.Grad, column(b.fuse.inv)
	layerwise := b.Name == "lars" && !v.vector()
	if b.WeightDecay != 0 && (layerwise || b.Name == "sgd") {
		d = g.GatedAdd(d, v.Value, column(g.Mul(b.fuse.lossScale, g.Float(b.WeightDecay))))
	}
	if layerwise {
		rate = g.Mul(b.stackTrust(v, d), b.fuse.inv)
	}
	if b.Momentum == 0 {
		m.Out = g.Mul(d, rate)
		return g.GatedAdd(v.Value, m.Out, column(g.Neg(b.lr)))
	}
	t := g.GatedAdd(m.In, d, g.Mul(rate, g.Float(1/b.Momentum)))
	m.Out = g.Mul(t, g.Float(b.Momentum))
	return g.GatedAdd(v.Value, t, column(g.Mul(b.lr, g.Float(-b.Momentum))))
}

// stackTrust is trust for each variable of a stack, [k, 1]; d is a step times the loss scale.
func (b *builder) stackTrust(v measured, d *graph.Value) *graph.Value {
	g := b.g
	weight, step := g.Sqrt(v.weight2), g.Mul(g.Sqrt(b.squares(d)), b.fuse.inv)
	rate := g.Div(g.Mul(weight, g.Float(b.Trust)), step)
	if b.Clip { // lr times this is the smaller of rate and lr
		rate = g.Min(g.Div(rate, b.lr), g.Float(1))
	}
	both := g.And(g.Greater(weight, g.Float(0)), g.Greater(step, g.Float(0)))
	return g.Where(both, rate, g.Float(1))
}

// gramWidth is the width of the matrices that squares reshapes a large row into.
const gramWidth = 64

// squares returns the squared norms [k, 1] of the rows of x [k, n]. For a single large row it
// takes the trace of a matrix product, which reads the row once; the runtime's own operator would
// write out all squares first.
func (b *builder) squares(x *graph.Value) *graph.Value {
	g, n := b.g, x.Elements()
	const chunk = 4096 * gramWidth
	if x.Shape[0] > 1 || n%chunk != 0 {
		return g.ReduceSumSquare(x, true, 1)
	}
	rows := g.Reshape(x, n/chunk, chunk/gramWidth, gramWidth)
	products := g.Reshape(g.FusedMatMul(rows, rows, true, false, 1), n/chunk, gramWidth*gramWidth)
	diagonal := g.Const("optim.diagonal", func() *tensor.Tensor {
		index := make([]int32, gramWidth)
		for i := range index {
			index[i] = int32(i * (gramWidth + 1))
		}
		return tensor.Of(index)
	})
	return g.ReduceSum(g.Gather(products, diagonal, 1), true, 0, 1)
}
