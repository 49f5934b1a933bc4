package grad

import (
	"fmt"

	"vicreg/models/graph"
)

// lastWeightGrad is weightGrad in the NHWC layout: float32 whatever the type of x, except from
// cuDNN.
func (c convolution) lastWeightGrad(dy *graph.Value) *graph.Value {
	g, win, m, ch := c.g, c.win, c.w.Shape[0], c.x.Shape[1]
	var dw *graph.Value // [M, C, KH, KW]
	switch {
	case c.cudnn():
		dw = c.cudnnWeightGrad(dy)
	case c.pointwise():
		dw = g.Reshape(c.scaleRows(productOfRows(g, g.Rows(dy), c.seen())), m, ch, 1, 1)
	case win.Stride == 1 && m < 2*ch:
		dw = c.crossedGrad(dy)
	default:
		dw = g.Transpose(g.Reshape(c.scaleRows(c.lastColumnsGrad(dy)), m, win.KH, win.KW, ch), 0, 3, 1, 2)
	}
	if ch > c.w.Shape[1] {
		dw = g.Slice(dw, 1, 0, c.w.Shape[1])
	}
	return dw
}

// scaleRows multiplies dw [..., M, K] by the scale, if there is one.
func (c convolution) scaleRows(dw *graph.Value) *graph.Value {
	if c.scale == nil {
		return dw
	}
	return c.g.Mul(dw, c.g.Reshape(c.scale, c.w.Shape[0], 1))
}

// crossedGrad is the gradient of the weights, [M, C, KH, KW], at stride 1. x is gathered for the
// taps of one kernel row and dy for those of one kernel column, over the rows of x and the columns
// of dy; their product covers all taps. A 3x3 kernel thus needs three copies each of x and dy, 6 in
// all, against 10 with columns of all taps.
func (c convolution) crossedGrad(dy *graph.Value) *graph.Value {
	g, win := c.g, c.win
	n, ch, h, w := c.x.Shape[0], c.x.Shape[1], c.x.Shape[2], c.x.Shape[3]
	m, oh, ow := c.w.Shape[0], dy.Shape[2], dy.Shape[3]
	name := fmt.Sprintf("(%dx%d,%dx%d,%v)", h, w, win.KH, win.KW, win.Pads)
	across := intIndex(g, "across"+name, h*ow*win.KW, func(i int) int {
		y, x := i/win.KW/ow, i/win.KW%ow+i%win.KW-win.Pads[1]
		return pixelOr(y, x, h, w)
	})
	down := intIndex(g, "down"+name, h*ow*win.KH, func(i int) int {
		y, x := i/win.KH/ow-i%win.KH+win.Pads[0], i/win.KH%ow
		return pixelOr(y, x, oh, ow)
	})
	a := g.Reshape(g.Gather(withZero(g, dy), down, 1), n*h*ow, win.KH*m)
	b := g.Reshape(g.Gather(withZero(g, c.x), across, 1), n*h*ow, win.KW*ch)
	dw := g.Reshape(productOfRows(g, a, b), win.KH, m, win.KW*ch)
	return g.Transpose(g.Reshape(c.scaleRows(dw), win.KH, m, win.KW, ch), 1, 3, 0, 2)
}

// pixelOr returns the index of a pixel in a plane [h, w], or that of the zero row behind the last
// pixel if it lies outside.
func pixelOr(y, x, h, w int) int {
	if y < 0 || y >= h || x < 0 || x >= w {
		return h * w
	}
	return y*w + x
}

// withZero returns the pixels of images as [N, H*W+1, C], with a zero pixel appended to each image.
func withZero(g *graph.Graph, x *graph.Value) *graph.Value {
	return g.ZerosBehind(g.View(x, x.Shape[0], x.Shape[2]*x.Shape[3], x.Shape[1]), 1, 1)
}

// columnNumbers bounds the elements of lastColumnsGrad's column matrix: the runtime's kernels index
// up to 2^31.
const columnNumbers = 1 << 30

// lastColumnsGrad is the product of dy and the columns of x, [M, K*C].
func (c convolution) lastColumnsGrad(dy *graph.Value) *graph.Value {
	g, win := c.g, c.win
	n, ch, h, w := c.x.Shape[0], c.x.Shape[1], c.x.Shape[2], c.x.Shape[3]
	m, pixels, taps := c.w.Shape[0], dy.Shape[2]*dy.Shape[3], win.KH*win.KW
	images := g.View(c.x, n, h*w, ch)
	if win.Pads != [4]int{} {
		images = withZero(g, c.x)
	}
	dys := g.View(dy, n, pixels, m)
	index := columnIndex(g, h, w, win)
	var dw *graph.Value
	parts := 1
	for n%(2*parts) == 0 && n/parts*pixels*taps*ch > columnNumbers {
		parts *= 2
	}
	for i := range parts {
		part, dyPart, k := images, dys, n/parts
		if parts > 1 {
			part, dyPart = g.Slice(images, 0, i*k, i*k+k), g.Slice(dys, 0, i*k, i*k+k)
		}
		columns := g.Reshape(g.Gather(part, index, 1), k*pixels, taps*ch)
		d := productOfRows(g, g.Reshape(dyPart, k*pixels, m), columns)
		if dw != nil {
			d = g.Add(dw, d)
		}
		dw = d
	}
	return dw
}
