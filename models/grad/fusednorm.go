package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// fusible reports whether the operators of graph/batchnorm.go support a normalisation of x with
// options o.
func fusible(g *graph.Graph, x *graph.Value, o BatchNormOptions) bool {
	return g.Device == tensor.CUDA && g.CustomOps && (x.Layout == tensor.NHWC || x.Rank() == 2) && (o.Residual == nil || o.Relu)
}

// fusedNorm is normalize as a single operator.
func fusedNorm(g *graph.Graph, x, gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	n := o.norm(g, x, save)
	return savedNorm(x, gamma, beta, g.NormalizeBatch(x, gamma, beta, n), save)
}

// measures reports whether the convolution can compute the statistics of its own result, with the
// operators of graph/batchnorm.go doing the rest.
func (c convolution) measures(o BatchNormOptions) bool {
	return lastChannels(c.g) && c.cudnn() && !c.g.SumsApart && (o.Residual == nil || o.Relu)
}

// measuredNorm is the convolution and its normalisation by statistics that the convolution
// computes.
func (c convolution) measuredNorm(gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	n := graph.Norm{Eps: float32(o.Eps), Groups: o.Groups}
	x := c.g.CudnnConvMoments(c.x, c.lastWeights(c.padded(c.w)), c.win, n)
	n = o.norm(c.g, x.Y, save)
	return savedNorm(x.Y, gamma, beta, c.g.Normalize(x, gamma, beta, n), save)
}

// norm returns the options for a normalisation of x, with the residual converted to the layout of
// x.
func (o BatchNormOptions) norm(g *graph.Graph, x *graph.Value, save func(string, *graph.Value)) graph.Norm {
	n := graph.Norm{Eps: float32(o.Eps), Relu: o.Relu, Groups: o.Groups}
	if o.Residual != nil {
		n.Residual = sameLayout(g, o.Residual, x)
		save("residual", n.Residual)
	}
	return n
}

// savedNorm saves what fusedNormGradient needs from a normalisation of x to y.
func savedNorm(x, gamma, beta *graph.Value, y graph.Normalized, save func(string, *graph.Value)) []*graph.Value {
	save("normalized", x)
	save("gamma", gamma)
	save("beta", beta)
	save("mean", y.Mean)
	save("istd", y.Istd)
	save("mask", y.Mask)
	return []*graph.Value{y.Y, y.Mean, y.Variance}
}

// fusedNormGradient is the gradient of fusedNorm and measuredNorm. That with respect to x already
// includes its factor: neither saves a scale.
func fusedNormGradient(c *Call) normGrads {
	g, saved, x := c.G, c.Saved, c.Saved["normalized"]
	n := graph.Norm{Eps: c.Attr("eps").(float32), Relu: c.flag("relu"), Residual: saved["residual"]}
	n.Groups, _ = c.Attr("groups").(int)
	y := graph.Normalized{Mean: saved["mean"], Istd: saved["istd"], Mask: saved["mask"]}
	dy, more := parts(c.Dy[0], x)
	d := g.NormalizeBatchGrad(sameLayout(g, dy, x), more, x, saved["gamma"], saved["beta"], y, n)
	return normGrads{unscaled: d.X, gamma: d.Gamma, beta: d.Beta, y: d.Residual}
}

// parts returns the addends of dy if it is a sum of two gradients of the form of x: the operator
// adds them as it reads them. The sum itself, left without a user, is dropped from the model.
func parts(dy, x *graph.Value) (one, more *graph.Value) {
	if n := dy.Node; n != nil && n.Key() == "Add" && inForm(n.Inputs[0], x) && inForm(n.Inputs[1], x) {
		return n.Inputs[0], n.Inputs[1]
	}
	return dy, nil
}

func inForm(v, x *graph.Value) bool {
	return v.Layout == x.Layout && v.Type == x.Type && v.Elements() == x.Elements() && v.Rank() == x.Rank()
}
