package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// BatchNormOptions select what is fused with a batch normalisation.
type BatchNormOptions struct {
	Eps      float64      // added to the variance
	Residual *graph.Value // added after the normalisation; nil for none
	Relu     bool         // applied last
	Groups   int          // parts of the batch with separate statistics, [Groups, C]; 0 means one. Custom operators only
}

func (o BatchNormOptions) attrs() []graph.Attr {
	attrs := []graph.Attr{{Name: "eps", Value: float32(o.Eps)}}
	if o.Relu {
		attrs = append(attrs, graph.Attr{Name: "relu", Value: 1})
	}
	if o.Groups > 1 {
		attrs = append(attrs, graph.Attr{Name: "groups", Value: o.Groups})
	}
	return attrs
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
	out := g.Composite("BatchNorm", o.attrs(), inputs, func(save func(string, *graph.Value)) []*graph.Value {
		return normalize(g, x, gamma, beta, o, save)
	})
	return out[0], out[1], out[2]
}

// normalize builds the body of a normalisation of x and saves what normGradient needs. It returns
// the result, the mean and the variance.
func normalize(g *graph.Graph, x, gamma, beta *graph.Value, o BatchNormOptions, save func(string, *graph.Value)) []*graph.Value {
	if !g.Normalized.Alone() && g.Device == tensor.CUDA {
		g.Fail("BatchNorm", "statistics shared by %d processes, which CUDA graphs do not exchange", g.Normalized.Size)
	}
	if fusible(g, x, o) {
		return fusedNorm(g, x, gamma, beta, o, save)
	}
	if o.Groups > 1 {
		g.Fail("BatchNorm", "%d groups, which take the custom operators", o.Groups)
	}
	if x.Layout == tensor.NHWC {
		return normalizeLast(g, x, gamma, beta, o, save)
	}
	own, ownVariance := moments(g, x)
	mean, variance := sharedMoments(g, own, ownVariance)
	istd := g.Reciprocal(g.Sqrt(g.Add(variance, g.Float(o.Eps))))
	scale := g.Mul(gamma, istd)
	shift := g.Sub(beta, g.Mul(mean, scale))
	save("normalized", x)
	save("mean", mean)
	save("istd", istd)
	save("scale", scale)
	residual := o.Residual
	if residual != nil { // its layer's channels need not fill blocks
		residual = sameLayout(g, residual, x)
		save("residual", residual)
	}
	return []*graph.Value{affine(g, x, scale, shift, residual, o.Relu), mean, variance}
}

// batchNormRule differentiates a normalisation that is not part of a ConvNorm.
func batchNormRule(c *Call) []*graph.Value {
	if c.Dy[0] == nil { // only the statistics are used, and no gradient flows through them
		return nil
	}
	d := normGradient(c)
	return c.each(func(i int) *graph.Value {
		switch scale := c.Saved["scale"]; {
		case i > 0:
			return d.of(c, i)
		case scale == nil:
			return d.unscaled
		default:
			return affine(c.G, d.unscaled, scale, nil, nil, false)
		}
	})
}

// normGrads are the gradients of a normalisation with respect to gamma, beta, the residual (y) and
// x (unscaled). The last lacks the factor gamma*istd, which the node saves as "scale"; if it saves
// no scale, the factor is already included.
type normGrads struct{ unscaled, gamma, beta, y *graph.Value }

// of returns the gradient with respect to input i of a normalisation: 1 gamma, 2 beta, 3 the
// residual.
func (d normGrads) of(c *Call, i int) *graph.Value {
	if i < 3 {
		return []*graph.Value{d.gamma, d.beta}[i-1]
	}
	return sameLayout(c.G, d.y, c.Inputs[len(c.Inputs)-1])
}

// normGradient computes, with a = gamma*istd and sums over the NL elements of a channel,
//
//	dbeta = sum dy, dgamma = sum dy*xhat = istd*(sum dy*x - mean*dbeta)
//	dx = a*(dy + k2*x + k3), k2 = -dgamma*istd/NL, k3 = -dbeta/NL - k2*mean
func normGradient(c *Call) (d normGrads) {
	g, x := c.G, c.Saved["normalized"]
	if c.Saved["gamma"] != nil {
		return fusedNormGradient(c)
	}
	if x.Layout == tensor.NHWC {
		return normLastGradient(c)
	}
	mean, istd := c.Saved["mean"], c.Saved["istd"]
	d.y = sameLayout(g, c.Dy[0], x)
	if c.flag("relu") {
		d.y = masked(g, d.y, c.Outputs[0])
	}
	dbeta, dot := channelSums(g, d.y, x)
	d.beta, d.gamma = dbeta, g.Mul(istd, g.Sub(dot, g.Mul(mean, dbeta)))
	dbeta, dgamma := sharedSums(g, d.beta, d.gamma)
	inv := g.Float(-float64(x.Shape[1]) / float64(x.Elements()*g.Normalized.Processes())) // -1/NL
	k2 := g.Mul(g.Mul(dgamma, istd), inv)
	k3 := g.Sub(g.Mul(dbeta, inv), g.Mul(k2, mean))
	if x.Layout == tensor.NCHWc && c.Saved["residual"] == nil {
		d.unscaled = g.Affine(x, k2, graph.Epilogue{Bias: k3, Sum: d.y}) // in place, over d.y
	} else { // the residual still needs d.y, which Affine would copy first, on one thread
		d.unscaled = g.Add(affine(g, x, k2, k3, nil, false), d.y)
	}
	return d
}

// moments returns the mean and the biased variance per channel, [C].
func moments(g *graph.Graph, x *graph.Value) (mean, variance *graph.Value) {
	x = g.Cast(x, tensor.Float32)
	inv := g.Float(float64(x.Shape[1]) / float64(x.Elements()))
	if x.Rank() == 2 { // small, so centre first: no digits are lost to cancellation
		mean = g.Mul(g.ReduceSum(x, false, 0), inv)
		return mean, g.Mul(g.ReduceSumSquare(g.Sub(x, mean), false, 0), inv)
	}
	sum, dot := channelSums(g, x, x)
	mean = g.Mul(sum, inv)
	// E[x^2] - mean^2 can fall below zero by rounding.
	return mean, g.Max(g.Sub(g.Mul(dot, inv), g.Mul(mean, mean)), g.Float(0))
}

// affine is x*scale + shift + residual, then ReLU, per channel, in the type of x;
// scale and shift are float32, shift and residual may be nil.
func affine(g *graph.Graph, x, scale, shift, residual *graph.Value, relu bool) *graph.Value {
	if x.Layout == tensor.NHWC && shift == nil {
		return g.ScaleNHWC(x, g.Cast(scale, x.Type))
	}
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
	if shift != nil { // one pass: inference batch normalisation with mean 0 and variance 1
		typed := func(v *graph.Value) *graph.Value { return g.Cast(v, x.Type) }
		return g.BatchNormalization(x, typed(scale), typed(shift), typed(g.Full(0, c)), typed(g.Full(1, c)), 0)
	}
	if x.Rank() == 4 {
		scale = g.Reshape(scale, c, 1, 1)
	}
	return g.Mul(x, g.Cast(scale, x.Type))
}
