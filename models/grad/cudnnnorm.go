package grad

import "vicreg/models/graph"

// cudnnNorm is normalize by cuDNN, which reads x and the residual and writes y once.
func cudnnNorm(g *graph.Graph, x, gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	n := graph.CudnnNorm{Eps: float32(o.Eps), Relu: o.Relu}
	if o.Residual != nil {
		n.Residual = sameLayout(g, o.Residual, x)
		save("residual", n.Residual)
	}
	y, mean, istd, reserve := g.CudnnBatchNorm(x, gamma, beta, n)
	save("normalized", x)
	save("gamma", gamma)
	save("beta", beta)
	save("mean", mean)
	save("istd", istd)
	save("reserve", reserve)
	// The running statistics want the variance, which cuDNN keeps to itself.
	variance := g.Max(g.Sub(g.Reciprocal(g.Mul(istd, istd)), g.Float(o.Eps)), g.Float(0))
	return []*graph.Value{y, mean, variance}
}

// cudnnNormGradient is the gradient of cudnnNorm. That with respect to x has its factor
// already: cudnnNorm saves no scale.
func cudnnNormGradient(c *Call) normGrads {
	g, saved, x := c.G, c.Saved, c.Saved["normalized"]
	n := graph.CudnnNorm{Eps: c.Attr("eps").(float32), Relu: c.flag("relu"), Residual: saved["residual"]}
	d := g.CudnnBatchNormGrad(sameLayout(g, c.Dy[0], x), x, c.Outputs[0],
		[5]*graph.Value{saved["gamma"], saved["beta"], saved["mean"], saved["istd"], saved["reserve"]}, n)
	return normGrads{unscaled: d.X, gamma: d.Gamma, beta: d.Beta, y: d.Residual}
}
