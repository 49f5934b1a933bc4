package grad

import "vicreg/models/graph"

// normalizeLast is normalize in the NHWC layout. The runtime's kernel computes in float32, but
// takes its parameters in the type of x. A variance may overflow half precision, so the kernel gets
// gamma*istd as its scale and a variance of 1.
func normalizeLast(g *graph.Graph, x, gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	rows := g.Rows(x)
	mean := meanOfRows(g, rows)
	// E[x^2] - mean^2 can fall below zero by rounding.
	variance := g.Max(g.Sub(squareOfRows(g, rows), g.Mul(mean, mean)), g.Float(0))
	istd := inverseStd(g, variance, o.Eps)
	scale, centre := g.Mul(gamma, istd), g.Cast(mean, x.Type)
	save("normalized", x)
	save("mean", mean)
	save("istd", istd)
	save("scale", scale)
	save("centre", centre)
	y := g.NormNHWC(x, g.Cast(scale, x.Type), g.CastOnce(beta, x.Type), centre, constant(g, 1, x), 0)
	return []*graph.Value{o.finish(g, y, x, save), mean, variance}
}

// finish adds the residual, in the layout of x, to y and applies ReLU.
func (o BatchNormOptions) finish(g *graph.Graph, y, x *graph.Value, save func(string, *graph.Value)) *graph.Value {
	if o.Residual != nil {
		residual := sameLayout(g, o.Residual, x)
		save("residual", residual)
		y = g.Add(y, residual)
	}
	if o.Relu {
		y = g.Relu(y)
	}
	return y
}

// small is the power of two by which a small factor, such as a mean over all pixels, is scaled up
// so that it keeps its digits in half precision.
const small = 7

// normLastGradient is normGradient in the NHWC layout:
//
//	dx = a*(dy - dgamma*istd/NL*(x - mean) - dbeta/NL)
func normLastGradient(c *Call) (d normGrads) {
	g, x := c.G, c.Saved["normalized"]
	d.y = sameLayout(g, c.Dy[0], x)
	if c.flag("relu") {
		d.y = masked(g, d.y, c.Outputs[0])
	}
	d.beta = channelSum(g, d.y)
	dot := dotOfRows(g, g.Rows(d.y), g.Rows(x))
	d.gamma = g.Mul(c.Saved["istd"], g.Sub(dot, g.Mul(c.Saved["mean"], d.beta)))
	inv := -float64(x.Shape[1]) / float64(x.Elements()) // -1/NL
	slope := g.Mul(g.Mul(d.gamma, c.Saved["istd"]), g.Float(inv*(1<<small)))
	shift := g.Mul(d.beta, g.Float(inv))
	part := g.NormNHWC(x, g.Cast(slope, x.Type), g.Cast(shift, x.Type), c.Saved["centre"], constant(g, 1<<(2*small), x), 0)
	d.unscaled = g.Add(part, d.y)
	return d
}

// channelSum is the sum of y by channel. It is computed once for the two normalisations that share
// the gradient of a residual block's result.
func channelSum(g *graph.Graph, y *graph.Value) *graph.Value {
	return g.Once(graph.Key{Of: y, Made: "channel sum"}, func() *graph.Value { return sumOfRows(g, g.Rows(y)) })
}

// constant repeats number for each channel of x, in the type of x.
func constant(g *graph.Graph, number float64, x *graph.Value) *graph.Value {
	return g.CastOnce(g.Full(number, x.Shape[1]), x.Type)
}

// inverseStd is 1/sqrt(variance + eps).
func inverseStd(g *graph.Graph, variance *graph.Value, eps float64) *graph.Value {
	return g.Pow(g.Add(variance, g.Float(eps)), g.Float(-0.5))
}
