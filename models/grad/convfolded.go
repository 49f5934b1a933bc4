package grad

import "vicreg/models/graph"

// A 1x1 convolution to many more channels than it reads, fused with the normalisation after it,
// never writes the unnormalised result. With x [P, C], w [M, C], u = x w^T and the mean s and
// covariance K of the few channels of x,
//
//	mean u = w s, var u = diag(w K w^T)
//	y = x (a*w)^T + beta - a*(w s), a = gamma/sqrt(var u + eps)
//
// and backwards, with D = dy^T x - dbeta s^T, all [M, C]:
//
//	dgamma = row sums of D*w, over std
//	dw = a*(D - dgamma/std * w K)
//	dx = dy (a*w) - x B - c, B = w^T diag(a*q/P) w, c = (a*r/P)^T w
//	q = dgamma/std, r = dbeta - q*(w s)
//
// The backward pass reads values of M channels three times, against seven in the textbook's order,
// and neither pass writes an intermediate value of M channels.

// foldFrom is the least ratio of output to input channels for folding.
const foldFrom = 2

// foldable reports whether foldedNorm supports the convolution. Where one operator normalises, ReLU
// and residual included, folding saves no pass over memory.
func (c convolution) foldable() bool {
	return lastChannels(c.g) && !c.g.CustomOps && c.pointwise() && c.w.Shape[0] >= foldFrom*c.w.Shape[1] && c.x.Shape[1] == c.w.Shape[1]
}

// foldedNorm is the convolution and its normalisation. For the gradient it saves the matrices w K
// and a*w, where normalize saves its input.
func (c convolution) foldedNorm(gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	g, x, m := c.g, c.seen(), c.w.Shape[0]
	w := g.Reshape(unrounded(c.w), m, -1)
	s := meanOfRows(g, x)
	covariance := g.Sub(gramOfRows(g, x), g.Mul(g.Reshape(s, s.Shape[0], 1), s))
	wk := g.MatMul(w, covariance)
	mean := g.ReduceSum(g.Mul(w, s), false, 1)
	variance := g.Max(g.ReduceSum(g.Mul(wk, w), false, 1), g.Float(0))
	istd := inverseStd(g, variance, o.Eps)
	scale := g.Mul(gamma, istd)
	shift := g.Cast(g.Sub(beta, g.Mul(mean, scale)), x.Type)
	aw := g.Cast(g.Mul(w, g.Reshape(scale, m, 1)), x.Type)
	save("input mean", s)
	save("weights", wk)
	save("scaled", aw)
	save("mean", mean)
	save("istd", istd)
	save("scale", scale)
	attr := graph.GemmAttr{TransB: true}
	var y *graph.Value
	if o.Residual == nil {
		y = c.fromRows(g.Gemm(x, aw, shift, attr))
	} else {
		residual := g.ToNHWC(o.Residual)
		save("residual", residual)
		y = c.fromRows(g.BiasAdd(g.Gemm(x, aw, nil, attr), shift, g.Rows(residual)))
	}
	if o.Relu {
		y = g.Relu(y)
	}
	return []*graph.Value{y, mean, variance}
}

// foldedNormRule is convNormRule for a node built by foldedNorm.
func foldedNormRule(c *Call) []*graph.Value {
	g, y := c.G, c.Outputs[0]
	conv := convolution{g: g, x: c.Saved["x"], w: c.Inputs[1], win: c.Window()}
	d := normGrads{y: sameLayout(g, c.Dy[0], y)}
	if c.flag("relu") {
		d.y = masked(g, d.y, y)
	}
	f := fold{convolution: conv, c: c, dy: g.Rows(d.y), w: g.Reshape(unrounded(conv.w), conv.w.Shape[0], -1)}
	d.beta = channelSum(g, d.y)
	centred := g.Sub(productOfRows(g, f.dy, conv.seen()), g.Mul(f.column(d.beta), c.Saved["input mean"]))
	d.gamma = g.Mul(c.Saved["istd"], g.ReduceSum(g.Mul(centred, f.w), false, 1))
	q := g.Mul(d.gamma, c.Saved["istd"])
	return c.each(func(i int) *graph.Value {
		switch i {
		case 0:
			return sameLayout(g, f.inputGrad(d, q), c.Inputs[0])
		case 1:
			along := g.Mul(c.Saved["weights"], f.column(q))
			return g.Reshape(g.Mul(g.Sub(centred, along), f.column(c.Saved["scale"])), conv.w.Shape...)
		}
		return d.of(c, i-1)
	})
}

// fold is the context of differentiating one folded normalisation.
type fold struct {
	convolution
	c     *Call
	dy, w *graph.Value // [P, M] and [M, C], the weights in float32
}

// column is v [M] as [M, 1].
func (f fold) column(v *graph.Value) *graph.Value { return f.g.Reshape(v, v.Shape[0], 1) }

// inputGrad is dy (a*w) - x B - c.
func (f fold) inputGrad(d normGrads, q *graph.Value) *graph.Value {
	g, saved, m := f.g, f.c.Saved, f.dy.Shape[1]
	per := g.Mul(saved["scale"], g.Float(-1/float64(f.dy.Shape[0]))) // -a/P
	r := g.Sub(d.beta, g.Mul(q, saved["mean"]))
	b := g.FusedMatMul(g.Mul(f.w, f.column(g.Mul(q, per))), f.w, true, false, 1<<small)
	shift := g.FusedMatMul(g.Reshape(g.Mul(r, per), 1, m), f.w, false, false, 1)
	along := g.FusedMatMul(f.seen(), g.Cast(b, f.dy.Type), false, false, power(-small))
	direct := g.Gemm(f.dy, saved["scaled"], nil, graph.GemmAttr{})
	return f.spread(g.BiasAdd(along, g.Reshape(g.Cast(shift, f.dy.Type), f.w.Shape[1]), direct))
}
