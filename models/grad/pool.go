package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// GlobalAveragePool averages x [N, C, H, W] over its pixels, giving [N, C].
func GlobalAveragePool(g *graph.Graph, x *graph.Value) *graph.Value {
	return g.Composite("GlobalAveragePool", nil, []*graph.Value{x}, func(func(string, *graph.Value)) []*graph.Value {
		if x.Layout == tensor.NCHWc {
			mean := g.ReduceMean(g.View(x), false, 2)
			return []*graph.Value{g.Reshape(mean, x.Shape[0], x.Shape[1])}
		}
		if x.Layout == tensor.NHWC {
			return []*graph.Value{g.MeanNHWC(x)}
		}
		return []*graph.Value{g.ReduceMean(x, false, 2, 3)}
	})[0]
}

func poolRule(c *Call) []*graph.Value {
	g, x := c.G, c.Inputs[0]
	n, ch, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	// Rounded to half precision, the factor would bias all gradients before it.
	dy := g.Cast(g.Mul(g.Cast(c.Dy[0], tensor.Float32), g.Float(1/float64(h*w))), x.Type)
	if x.Layout == tensor.NCHWc {
		dx := g.Expand(g.Reshape(dy, n, ch/g.Block, 1, g.Block), n, ch/g.Block, h*w, g.Block)
		return []*graph.Value{g.Unview(dx, n, ch, h, w)}
	}
	if x.Layout == tensor.NHWC {
		return []*graph.Value{g.FromRows(g.Expand(g.Reshape(dy, n, 1, ch), n, h*w, ch), n, ch, h, w)}
	}
	return []*graph.Value{g.Expand(g.Reshape(dy, n, ch, 1, 1), n, ch, h, w)}
}

// MaxPool is the maximum over a window of x [N, C, H, W], in x's layout.
func MaxPool(g *graph.Graph, x *graph.Value, win graph.Window) *graph.Value {
	return g.Composite("MaxPool", graph.WindowAttrs(win), []*graph.Value{x}, func(save func(string, *graph.Value)) []*graph.Value {
		if lastChannels(g) && g.CustomOps && graph.PlacesTake(win) {
			y, places := g.MaxPoolPlaces(g.ToNHWC(x), win)
			save("places", places)
			return []*graph.Value{sameLayout(g, y, x)}
		}
		if lastChannels(g) {
			y, index := g.MaxPoolNHWC(g.ToNHWC(x), win)
			save("index", index)
			return []*graph.Value{sameLayout(g, y, x)}
		}
		y, index := g.MaxPool(g.ToPlain(x), win)
		save("index", index)
		return []*graph.Value{sameLayout(g, y, x)}
	})[0]
}

// maxPoolRule adds each gradient to the pixel that was the maximum.
func maxPoolRule(c *Call) []*graph.Value {
	if places := c.Saved["places"]; places != nil {
		g, x := c.G, c.Inputs[0]
		dx := g.MaxPoolPlacesGrad(g.ToNHWC(c.Dy[0]), places, c.Window(), x.Shape[2], x.Shape[3])
		return []*graph.Value{sameLayout(g, dx, x)}
	}
	g, x, dy := c.G, c.Inputs[0], c.G.ToPlain(c.Dy[0])
	n := x.Elements()
	index := g.Reshape(c.Saved["index"], dy.Elements())
	dx := g.ScatterAdd(g.Expand(g.Cast(g.Full(0, 1), x.Type), n), index, g.Reshape(dy, dy.Elements()))
	return []*graph.Value{sameLayout(g, g.Reshape(dx, x.Shape...), x)}
}
