package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// This file convolves in the NHWC layout. There a convolution of 1x1 is a product of
// matrices as it is, forwards and backwards; larger kernels convolve in both
// directions, and the gradient of their weights is a product with gathered columns.

// channelMultiple is what the channels of a convolution's input are filled up to, so
// that rows of columns begin where the kernels can read them fast.
const channelMultiple = 4

// lastInput brings x to the layout, with zeros behind the three channels of images.
func lastInput(g *graph.Graph, x *graph.Value) *graph.Value {
	x = g.ToNHWC(x)
	if c := x.Shape[1]; c%channelMultiple != 0 && c < channelMultiple {
		x = g.PadNHWC(x, channelMultiple)
	}
	return x
}

// pointwise tells whether each result comes from one pixel.
func (c convolution) pointwise() bool { return c.win.KH*c.win.KW == 1 && c.win.Pads == [4]int{} }

// seen are the pixels that a pointwise convolution looks at, as a matrix [P, C].
func (c convolution) seen() *graph.Value {
	x := c.x
	if s := c.win.Stride; s > 1 {
		x = c.g.Once(graph.Key{Of: x, Made: fmt.Sprintf("every(%d)", s)}, func() *graph.Value { return c.g.EveryNHWC(x, s) })
	}
	return c.g.Rows(x)
}

// fromRows gives rows [N*OH*OW, M] the shape of the result.
func (c convolution) fromRows(y *graph.Value) *graph.Value {
	oh, ow := c.win.Out(c.x.Shape[2], c.x.Shape[3])
	return c.g.FromRows(y, c.x.Shape[0], y.Shape[1], oh, ow)
}

func (c convolution) lastForward() *graph.Value {
	g := c.g
	if c.pointwise() {
		return c.fromRows(g.Gemm(c.seen(), c.matrix(), nil, graph.GemmAttr{TransB: true}))
	}
	w := g.Once(graph.Key{Of: c.w, Made: "last"}, func() *graph.Value { return g.Transpose(c.padded(c.w), 0, 2, 3, 1) })
	if c.cudnn() {
		return g.CudnnConv(c.x, w, c.win)
	}
	return g.ConvNHWC(c.x, w, c.win)
}

// cudnn tells whether the convolution and its gradients are cuDNN's.
func (c convolution) cudnn() bool {
	return c.g.Forms.Cudnn && !c.pointwise() && graph.CudnnTakes(c.win)
}

// matrix are the weights as [M, C*KH*KW].
func (c convolution) matrix() *graph.Value { return c.g.Reshape(c.padded(c.w), c.w.Shape[0], -1) }

// padded are weights with zeros for the channels that lastInput has added.
func (c convolution) padded(w *graph.Value) *graph.Value {
	more := c.x.Shape[1] - w.Shape[1]
	if more == 0 {
		return w
	}
	return c.g.Once(graph.Key{Of: w, Made: "padded"}, func() *graph.Value {
		return c.g.Pad(w, []int{0, 0, 0, 0}, []int{0, more, 0, 0})
	})
}

// lastWeightGrad is weightGrad, in float32 whatever the type of x.
func (c convolution) lastWeightGrad(dy *graph.Value) *graph.Value {
	g, win, m, ch := c.g, c.win, c.w.Shape[0], c.x.Shape[1]
	var dw *graph.Value // [M, C, KH, KW]
	switch {
	case c.pointwise():
		dw = g.Reshape(c.scaleRows(productOfRows(g, g.Rows(dy), c.seen())), m, ch, 1, 1)
	case c.cudnn():
		half := g.Reshape(g.CudnnConvWeightGrad(dy, c.x, win), m, -1)
		dw = g.Transpose(g.Reshape(c.scaleRows(g.Cast(half, tensor.Float32)), m, win.KH, win.KW, ch), 0, 3, 1, 2)
	case win.Stride == 1 && m < 2*ch && !g.Forms.Columns:
		dw = c.crossedGrad(dy)
	default:
		dw = g.Transpose(g.Reshape(c.scaleRows(c.lastColumnsGrad(dy)), m, win.KH, win.KW, ch), 0, 3, 1, 2)
	}
	if ch > c.w.Shape[1] {
		dw = g.Slice(dw, 1, 0, c.w.Shape[1])
	}
	return dw
}

// scaleRows is dw [..., M, K] times the scale.
func (c convolution) scaleRows(dw *graph.Value) *graph.Value {
	if c.scale == nil {
		return dw
	}
	return c.g.Mul(dw, c.g.Reshape(c.scale, c.w.Shape[0], 1))
}

// crossedGrad is the gradient of the weights, [M, C, KH, KW], at stride 1. Of the taps
// of a kernel, x is gathered for those of a row and dy for those of a column, at the
// rows of x and the columns of dy; the product of the two has all of them. A kernel
// of 3x3 so takes 6 numbers for each of x or dy where columns of all taps take 10.
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

// pixelOr is the number of a pixel in a plane [h, w], or of the row of zeros behind the
// last one.
func pixelOr(y, x, h, w int) int {
	if y < 0 || y >= h || x < 0 || x >= w {
		return h * w
	}
	return y*w + x
}

// withZero are the pixels of images as [N, H*W+1, C], the last one of each zero.
func withZero(g *graph.Graph, x *graph.Value) *graph.Value {
	return g.Pad(g.View(x, x.Shape[0], x.Shape[2]*x.Shape[3], x.Shape[1]), []int{0, 0, 0}, []int{0, 1, 0})
}

// columnNumbers bounds the column matrix of lastColumnsGrad: the runtime's kernels
// count to 2^31.
const columnNumbers = 1 << 30

// lastColumnsGrad multiplies dy with the columns of x, [M, K*C].
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

// lastInputGrad is inputGrad in the NHWC layout.
func (c convolution) lastInputGrad(dy *graph.Value) *graph.Value {
	g, s := c.g, c.win.Stride
	n, ch, h, w := c.x.Shape[0], c.w.Shape[1], c.x.Shape[2], c.x.Shape[3]
	if c.pointwise() {
		dx := g.Gemm(g.Rows(dy), g.Reshape(c.scaled(), c.w.Shape[0], ch), nil, graph.GemmAttr{})
		return c.spread(dx)
	}
	if c.cudnn() {
		return g.CudnnConvInputGrad(dy, g.Transpose(c.scaled(), 0, 2, 3, 1), c.win, h, w)
	}
	rows := c.phases(h, dy.Shape[2], c.win.KH, c.win.Pads[0])
	cols := c.phases(w, dy.Shape[3], c.win.KW, c.win.Pads[1])
	row, col := common(rows), common(cols)
	if row.size*s != h || col.size*s != w {
		return g.ToNHWC(c.transposed(dy))
	}
	win := window(row, col)
	if min(win.Pads[0], win.Pads[1], win.Pads[2], win.Pads[3]) < 0 {
		return g.ToNHWC(c.transposed(dy))
	}
	dx := g.ConvNHWC(dy, c.phaseWeights(rows, cols, row, col), win) // [N, s*s*C, H/s, W/s]
	if s > 1 {
		dx = g.Transpose(g.View(dx, n*h/s, w/s, s, s*ch), 0, 2, 1, 3)
		dx = g.FromRows(dx, n, ch, h, w)
	}
	return dx
}

// spread puts the rows of a pointwise convolution's gradient at the pixels that it has
// seen, and zeros at the others.
func (c convolution) spread(dx *graph.Value) *graph.Value {
	g, s := c.g, c.win.Stride
	n, ch, h, w := c.x.Shape[0], c.w.Shape[1], c.x.Shape[2], c.x.Shape[3]
	if s == 1 {
		return g.FromRows(dx, n, ch, h, w)
	}
	oh, ow := c.win.Out(h, w)
	dx = g.Reshape(dx, n*oh, 1, ow, ch)
	dx = g.Reshape(g.Pad(dx, []int{0, 0, 0, 0}, []int{0, s - 1, 0, (s - 1) * ch}), n, oh*s, ow*s, ch)
	if oh*s > h {
		dx = g.Slice(dx, 1, 0, h)
	}
	if ow*s > w {
		dx = g.Slice(dx, 2, 0, w)
	}
	return g.FromRows(dx, n, ch, h, w)
}

// common is the phase that has room for the taps of all, which are of one size; its
// taps are as many as it has room for.
func common(all []phase) phase {
	var c phase
	after := 0
	for _, p := range all {
		if c.size > 0 && p.size != c.size {
			return phase{}
		}
		c.size = p.size
		if len(p.taps) > 0 {
			c.before = max(c.before, p.before)
			after = max(after, len(p.taps)-1-p.before)
		}
	}
	if len(all) == 0 {
		return phase{}
	}
	c.taps = make([]int, c.before+1+after)
	for _, p := range all {
		if len(p.taps) > 0 {
			c.after = max(c.after, p.after+after-(len(p.taps)-1-p.before))
		}
	}
	return c
}

// phaseWeights are weights for one convolution of dy that gives all phases as
// channels: [s*s*C, KH', KW', M], zero where a phase does not look.
func (c convolution) phaseWeights(rows, cols []phase, row, col phase) *graph.Value {
	g, m, ch := c.g, c.w.Shape[0], c.w.Shape[1]
	kh, kw, taps := len(row.taps), len(col.taps), c.win.KH*c.win.KW
	build := func() *graph.Value {
		if c.win.Stride == 1 {
			return g.Flip(g.Transpose(c.scaled(), 1, 2, 3, 0), 1, 2)
		}
		w := g.Reshape(g.Transpose(c.scaled(), 2, 3, 1, 0), taps, ch, m)
		w = g.Pad(w, []int{0, 0, 0}, []int{1, 0, 0})
		name := fmt.Sprintf("phases(%v,%d,%d)", c.win, c.x.Shape[2], c.x.Shape[3])
		index := intIndex(g, name, len(rows)*len(cols)*kh*kw, func(i int) int {
			at, j := i/(kh*kw), i%(kh*kw)
			return tapAt(rows[at/len(cols)], row, j/kw, cols[at%len(cols)], col, j%kw, c.win.KW, taps)
		})
		w = g.Reshape(g.Gather(w, index, 0), len(rows)*len(cols), kh*kw, ch, m)
		return g.Reshape(g.Transpose(w, 0, 2, 1, 3), len(rows)*len(cols)*ch, kh, kw, m)
	}
	if c.scale != nil { // of its view alone
		return build()
	}
	return g.Once(graph.Key{Of: c.w, Made: "phases"}, build)
}

// tapAt is the kernel's tap at place (i, j) of the common window of two phases, or
// none where the phases have no tap there.
func tapAt(row, rows phase, i int, col, cols phase, j, kw, none int) int {
	i, j = i-rows.before+row.before, j-cols.before+col.before
	if i < 0 || i >= len(row.taps) || j < 0 || j >= len(col.taps) {
		return none
	}
	return row.taps[i]*kw + col.taps[j]
}

// unrounded is a value before it was cast to a narrower type.
func unrounded(v *graph.Value) *graph.Value {
	if n := v.Node; n != nil && n.Key() == "Cast" && n.Inputs[0].Type == tensor.Float32 {
		return n.Inputs[0]
	}
	return v
}
