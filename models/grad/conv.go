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

// convolution is one use of weights w [M, C, KH, KW] on x [N, C, H, W]. With a
// scale [M] it stands for the convolution by w*scale, which is how the gradients
// of a convolution and the normalisation behind it share a pass over memory.
type convolution struct {
	g     *graph.Graph
	x, w  *graph.Value
	win   graph.Window
	scale *graph.Value
}

// newConvolution brings x to the layout in which it is convolved fastest.
func newConvolution(g *graph.Graph, x, w *graph.Value, win graph.Window) convolution {
	m, c := w.Shape[0], w.Shape[1]
	switch {
	case !g.Blocks(m) || c >= g.Block && !g.Blocks(c):
		x = g.ToPlain(x)
	case c >= g.Block:
		x = g.ToBlocked(x)
	}
	return convolution{g: g, x: x, w: w, win: win}
}

// blocks tells whether the result comes in the NCHWc layout. A plain x of fewer
// channels than a block, as images are, need not be blocked for that.
func (c convolution) blocks() bool {
	return c.g.Blocks(c.w.Shape[0]) && (c.x.Layout == tensor.NCHWc || c.w.Shape[1] < c.g.Block)
}

// forward ignores the scale.
func (c convolution) forward() *graph.Value {
	if !c.blocks() {
		return c.g.Conv(c.x, c.w, nil, c.win, 1)
	}
	return blockedConv(c.g, c.x, c.blockedWeights(), c.w.Shape, c.win)
}

// blockedWeights are made once for both views and both directions.
func (c convolution) blockedWeights() *graph.Value {
	return c.g.Once(graph.Key{Of: c.w, Made: "blocked"}, func() *graph.Value { return c.g.BlockWeights(c.w) })
}

// fewPixels is the largest plane on which blockedConv interleaves images.
const fewPixels = 64

// blockedConv convolves x with blocked weights. On small planes much of the work
// is at the border, where the runtime is slow, and the weights are read anew for
// each image. There a block of images lies side by side, pixel by pixel, in one
// image whose columns are as far apart: measured, 0.75 of the time on 4x4,
// 0.95 on 8x8.
func blockedConv(g *graph.Graph, x, w *graph.Value, shape []int, win graph.Window) *graph.Value {
	n, b := x.Shape[0], g.Block
	oh, ow := win.Out(x.Shape[2], x.Shape[3])
	if oh*ow > fewPixels || win.Stride > 1 || n%b != 0 || x.Layout == tensor.Plain || shape[2]*shape[3] == 1 {
		return g.BlockedConv(x, w, shape, win, 1, graph.Epilogue{})
	}
	x = g.Unview(g.SwapRows(x, n/b, b), n/b, shape[1], x.Shape[2], x.Shape[3]*b)
	x = padColumns(g, x, win.Pads[1]*b, win.Pads[3]*b)
	win.Pads[1], win.Pads[3], win.Dilation = 0, 0, [2]int{1, b}
	y := g.BlockedConv(x, w, shape, win, 1, graph.Epilogue{})
	return g.Unview(g.SwapRows(y, n/b, shape[0]/b*oh*ow), n, shape[0], oh, ow)
}

// sameLayout brings a gradient to the layout of the value it belongs to.
func sameLayout(g *graph.Graph, dx, x *graph.Value) *graph.Value {
	if x.Layout == tensor.NCHWc {
		return g.ToBlocked(dx)
	}
	return g.ToPlain(dx)
}
