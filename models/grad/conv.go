package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Conv convolves x [N, C, H, W] with w [M, C, KH, KW] without bias, giving
// [N, M, OH, OW]. In a graph with channel blocks the result is in the NCHWc
// layout wherever the channels allow it.
func Conv(g *graph.Graph, x, w *graph.Value, win graph.Window) *graph.Value {
	return g.Composite("Conv", graph.WindowAttrs(win), []*graph.Value{x, w}, func(save func(string, *graph.Value)) []*graph.Value {
		c := newConvolution(g, x, w, win)
		save("x", c.x)
		return []*graph.Value{c.forward()}
	})[0]
}

func convRule(c *Call) []*graph.Value {
	conv := convolution{g: c.G, x: c.Saved["x"], w: c.Inputs[1], win: c.Window()}
	return c.each(func(i int) *graph.Value {
		if i == 1 {
			return conv.weightGrad(c.Dy[0])
		}
		return sameLayout(c.G, conv.inputGrad(c.Dy[0]), c.Inputs[0])
	})
}

// convolution is one use of weights w [M, C, KH, KW] on x [N, C, H, W]. With a scale [M] it stands
// for the convolution by w*scale, so that the gradients of a convolution and the normalisation
// after it share a pass over memory.
type convolution struct {
	g     *graph.Graph
	x, w  *graph.Value
	win   graph.Window
	scale *graph.Value
}

// newConvolution converts x to the layout that convolves fastest.
func newConvolution(g *graph.Graph, x, w *graph.Value, win graph.Window) convolution {
	m, c := w.Shape[0], w.Shape[1]
	switch {
	case lastChannels(g):
		x = lastInput(g, x)
	case !g.Blocks(m) || c >= g.Block && !g.Blocks(c):
		x = g.ToPlain(x)
	case c >= g.Block:
		x = g.ToBlocked(x)
	}
	return convolution{g: g, x: x, w: w, win: win}
}

// lastChannels reports whether the convolutions of a graph use the NHWC layout.
func lastChannels(g *graph.Graph) bool { return g.Device == tensor.CUDA }

// blocks reports whether the result is in the NCHWc layout. A plain x with fewer channels than a
// block, such as an image, need not be blocked for that.
func (c convolution) blocks() bool {
	return c.g.Blocks(c.w.Shape[0]) && (c.x.Layout == tensor.NCHWc || c.w.Shape[1] < c.g.Block)
}

// forward ignores the scale.
func (c convolution) forward() *graph.Value {
	if c.x.Layout == tensor.NHWC {
		return c.lastForward()
	}
	if !c.blocks() {
		return c.g.Conv(c.x, c.w, nil, c.win, 1)
	}
	return blockedConv(c.g, c.x, c.blockedWeights(), c.w.Shape, c.win)
}

// blockedWeights lays out the weights once for both views and both directions.
func (c convolution) blockedWeights() *graph.Value {
	return c.g.Once(graph.Key{Of: c.w, Made: "blocked"}, func() *graph.Value { return c.g.BlockWeights(c.w) })
}

// sameLayout converts a gradient to the layout of the value it belongs to.
func sameLayout(g *graph.Graph, dx, x *graph.Value) *graph.Value {
	switch x.Layout {
	case tensor.NCHWc:
		return g.ToBlocked(dx)
	case tensor.NHWC:
		return g.ToNHWC(dx)
	}
	return g.ToPlain(dx)
}
