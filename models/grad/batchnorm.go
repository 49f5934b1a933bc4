package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// BatchNormOptions select what is fused behind a batch normalisation.
type BatchNormOptions struct {
	Eps      float64      // added to the variance
	Residual *graph.Value // added after the normalisation; nil for none
	Relu     bool         // applied last
}

// BatchNorm normalises x [N, C, H, W] or [N, C] by the mean and variance of the
// batch, per channel, scales by gamma [C] and shifts by beta [C]. It returns y
// and the batch's mean and biased variance [C], through which no gradient flows
// (Ioffe and Szegedy, 2015).
func BatchNorm(g *graph.Graph, x, gamma, beta *graph.Value, o BatchNormOptions) (y, mean, variance *graph.Value) {
	inputs := []*graph.Value{x, gamma, beta}
	if o.Residual != nil {
		inputs = append(inputs, o.Residual)
	}
	var attrs []graph.Attr
	if o.Relu {
		attrs = append(attrs, graph.Attr{Name: "relu", Value: 1})
	}
	out := g.Composite("BatchNorm", attrs, inputs, func(save func(string, *graph.Value)) []*graph.Value {
		mean, variance := moments(g, x)
		istd := g.Reciprocal(g.Sqrt(g.Add(variance, g.Float(o.Eps))))
		scale := g.Mul(gamma, istd)
		shift := g.Sub(beta, g.Mul(mean, scale))
		save("mean", mean)
		save("istd", istd)
		save("scale", scale)
		residual := o.Residual
		if residual != nil { // it may come from a layer whose channels do not block
			residual = sameLayout(g, residual, x)
		}
		return []*graph.Value{affine(g, x, scale, shift, residual, o.Relu), mean, variance}
	})
	return out[0], out[1], out[2]
}

// batchNormRule: with a = gamma*istd and sums over the NL elements of a channel,
//
//	dbeta = sum dy, dgamma = sum dy*xhat = istd*(sum dy*x - mean*dbeta)
//	dx = a*dy + k2*x + k3, k2 = -a*dgamma*istd/NL, k3 = -a*dbeta/NL - k2*mean
func batchNormRule(c *Call) []*graph.Value {
	g, x, dy := c.G, c.Inputs[0], c.Dy[0]
	if dy == nil { // only the statistics are used, and they pass nothing on
		return nil
	}
	mean, istd, scale := c.Saved["mean"], c.Saved["istd"], c.Saved["scale"]
	if c.flag("relu") {
		dy = masked(g, dy, c.Outputs[0])
	}
	dbeta, dot := channelSums(g, dy, x)
	dgamma := g.Mul(istd, g.Sub(dot, g.Mul(mean, dbeta)))
	perElement := g.Mul(scale, g.Float(-float64(x.Shape[1])/float64(x.Elements()))) // -a/NL
	k2 := g.Mul(g.Mul(perElement, dgamma), istd)
	k3 := g.Sub(g.Mul(perElement, dbeta), g.Mul(k2, mean))
	dx := affine(g, dy, scale, nil, affine(g, x, k2, k3, nil, false), false)
	out := []*graph.Value{dx, dgamma, dbeta}
	if len(c.Inputs) > 3 {
		out = append(out, sameLayout(g, dy, c.Inputs[3]))
	}
	return out
}

// moments returns the mean and the biased variance per channel, [C].
func moments(g *graph.Graph, x *graph.Value) (mean, variance *graph.Value) {
	inv := g.Float(float64(x.Shape[1]) / float64(x.Elements()))
	if x.Rank() == 2 { // small: centre first, which loses no digits
		mean = g.Mul(g.ReduceSum(x, false, 0), inv)
		return mean, g.Mul(g.ReduceSumSquare(g.Sub(x, mean), false, 0), inv)
	}
	sum, dot := channelSums(g, x, x)
	mean = g.Mul(sum, inv)
	// E[x^2] - mean^2 can fall below zero by rounding.
	return mean, g.Max(g.Sub(g.Mul(dot, inv), g.Mul(mean, mean)), g.Float(0))
}

// channelSums returns, per channel, the sum of a and the sum of a*b: [C] each.
func channelSums(g *graph.Graph, a, b *graph.Value) (sum, dot *graph.Value) {
	switch {
	case a.Rank() == 2:
		return g.ReduceSum(a, false, 0), g.ReduceSum(g.Mul(a, b), false, 0)
	case a.Layout == tensor.NCHWc:
		return blockedSums(g, a, b)
	}
	n, c, l := a.Shape[0], a.Shape[1], a.Shape[2]*a.Shape[3]
	// A batched dot product reads each operand once and writes almost nothing.
	dots := g.FusedMatMul(g.Reshape(a, n*c, 1, l), g.Reshape(b, n*c, 1, l), false, true, 1)
	return g.ReduceSum(a, false, 0, 2, 3), g.ReduceSum(g.Reshape(dots, n, c), false, 0)
}

// blockedSums is channelSums on the NCHWc layout.
func blockedSums(g *graph.Graph, a, b *graph.Value) (sum, dot *graph.Value) {
	c := a.Shape[1]
	fold := func(x *graph.Value) *graph.Value {
		return g.Reshape(g.ReduceSum(g.ReduceSum(g.View(x), false, 2), false, 0), c)
	}
	return fold(a), fold(g.Mul(a, b))
}

// affine is x*scale + shift + residual, then ReLU, per channel; shift and
// residual may be nil.
func affine(g *graph.Graph, x, scale, shift, residual *graph.Value, relu bool) *graph.Value {
	if x.Layout == tensor.NCHWc {
		e := graph.Epilogue{Bias: shift, Sum: residual}
		if relu {
			e.Activation = "Relu"
		}
		return g.Affine(x, scale, e)
	}
	y := plainAffine(g, x, scale, shift)
	if residual != nil {
		y = g.Add(y, residual)
	}
	if relu {
		y = g.Relu(y)
	}
	return y
}

func plainAffine(g *graph.Graph, x, scale, shift *graph.Value) *graph.Value {
	c := x.Shape[1]
	if shift != nil { // one pass: inference batch normalisation without statistics
		return g.BatchNormalization(x, scale, shift, g.Full(0, c), g.Full(1, c), 0)
	}
	if x.Rank() == 4 {
		scale = g.Reshape(scale, c, 1, 1)
	}
	return g.Mul(x, scale)
}
