package grad

import "vicreg/models/graph"

// ConvNorm is Conv followed by BatchNorm. Its gradient makes fewer passes over memory than those of
// the two in sequence.
func ConvNorm(g *graph.Graph, x, w *graph.Value, win graph.Window, gamma, beta *graph.Value, o BatchNormOptions) (y, mean, variance *graph.Value) {
	inputs := []*graph.Value{x, w, gamma, beta}
	if o.Residual != nil {
		inputs = append(inputs, o.Residual)
	}
	attrs := append(graph.WindowAttrs(win), o.attrs()...)
	out := g.Composite("ConvNorm", attrs, inputs, func(save func(string, *graph.Value)) []*graph.Value {
		c := newConvolution(g, x, w, win)
		save("x", c.x)
		switch {
		case c.foldable():
			return c.foldedNorm(gamma, beta, o, save)
		case c.measures(o):
			return c.measuredNorm(gamma, beta, o, save)
		}
		return normalize(g, c.forward(), gamma, beta, o, save)
	})
	return out[0], out[1], out[2]
}

// convNormRule computes the gradient of the normalisation without its factor a = gamma*istd, per
// channel of the convolution's result. The factor is applied where it touches fewer elements:
// either to that gradient, or to the weights (for the gradient of x) and to the gradient of the
// weights.
func convNormRule(c *Call) []*graph.Value {
	if c.Dy[0] == nil {
		return nil
	}
	if c.Saved["weights"] != nil {
		return foldedNormRule(c)
	}
	d := normGradient(c)
	conv := convolution{g: c.G, x: c.Saved["x"], w: c.Inputs[1], win: c.Window(), scale: c.Saved["scale"]}
	if conv.scale != nil && d.unscaled.Elements() < 2*conv.w.Elements() {
		d.unscaled, conv.scale = affine(c.G, d.unscaled, conv.scale, nil, nil, false), nil
	}
	return c.each(func(i int) *graph.Value {
		switch i {
		case 0:
			return sameLayout(c.G, conv.inputGrad(d.unscaled), c.Inputs[0])
		case 1:
			return conv.weightGrad(d.unscaled)
		}
		return d.of(c, i-1)
	})
}
