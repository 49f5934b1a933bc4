package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// weightGrad is the gradient with respect to the weights, [M, C, KH, KW].
func (c convolution) weightGrad(dy *graph.Value) *graph.Value {
	if dy.Layout == tensor.NCHWc {
		if dw := c.lanesGrad(dy); dw != nil {
			return dw
		}
	}
	return c.columnsGrad(dy)
}

// lanesGrad is weightGrad as one convolution in the NCHWc layout:
//
//	dw[m,c,i,j] = sum over n,h,w of dy[n,m,h,w] * x[n,c,s*h+i,s*w+j]
//
// Images take the place of input channels, dy is the kernel, as large as its
// plane, and the taps are the pixels of the result. The columns of x and its
// channels together are one axis, in which the kernel's columns lie s*C apart.
// The blocked convolution keeps its sums in registers and packs nothing:
// measured, twice as fast as gathering columns for a matrix product.
//
// The answer is nil where the images do not fill half of their blocks, or x
// would have to be cut.
func (c convolution) lanesGrad(dy *graph.Value) *graph.Value {
	g, x, win := c.g, c.x, c.win
	if win.KH*win.KW == 1 && win.Stride > 1 && win.Pads == [4]int{} && x.Layout == tensor.NCHWc {
		x = copied(g, x, win) // the other pixels meet no tap
		win.Stride = 1
	}
	n, oh, ow := x.Shape[0], dy.Shape[2], dy.Shape[3]
	below := win.KH + win.Stride*(oh-1) - x.Shape[2] - win.Pads[0]
	right := win.KW + win.Stride*(ow-1) - x.Shape[3] - win.Pads[1]
	missing := (g.Block - n%g.Block) % g.Block
	if below < 0 || right < 0 || missing > n {
		return nil
	}
	win.Pads[2], win.Pads[3] = below, right
	x, dy = moreImages(g, x, missing), moreImages(g, dy, missing)
	dw := c.lanesConv(channelsLast(g, x, win), dy, win) // [groups, M/b, K*C, b]
	return c.plainWeights(dw)
}

// lanesConv convolves rows [N, H, W, C], a block of images at a time, and
// returns the gradient of each group of images, [N/b, M/b, K*C, b].
func (c convolution) lanesConv(rows, dy *graph.Value, win graph.Window) *graph.Value {
	g, b := c.g, c.g.Block
	m, ch := c.w.Shape[0], c.w.Shape[1]
	groups, h, oh, ow := dy.Shape[0]/b, rows.Shape[1], dy.Shape[2], dy.Shape[3]
	x := g.LanesLast(rows, groups)      // [groups, H*W*C, b images]
	kernel := g.SwapRows(dy, groups, b) // [groups, M/b*OH*OW, b images, b]
	var shape []int
	if win == graph.Square(1, 1, 0) { // pixels too can be input channels
		x = g.Unview(x, 1, groups*oh*ow*b, 1, ch)
		shape = []int{groups * m, oh * ow * b, 1, 1}
	} else {
		x = g.Unview(x, 1, groups*b, h, rows.Shape[2]*ch)
		shape = []int{groups * m, b, oh, ow}
		win = graph.Window{KH: oh, KW: ow, Stride: 1, Pads: [4]int{win.Pads[0], 0, win.Pads[2], 0},
			Dilation: [2]int{win.Stride, win.Stride * ch}}
	}
	dw := g.BlockedConv(x, g.Reshape(kernel, shape...), shape, win, groups, graph.Epilogue{})
	return g.View(dw, groups, m/b, -1, b)
}

// plainWeights adds up the groups of dw [groups, M/b, K*C, b], applies the scale
// and brings the result to [M, C, KH, KW].
func (c convolution) plainWeights(dw *graph.Value) *graph.Value {
	g, b := c.g, c.g.Block
	m, ch, taps := c.w.Shape[0], c.w.Shape[1], c.win.KH*c.win.KW
	if dw.Shape[0] > 1 {
		dw = g.ReduceSum(dw, true, 0)
	}
	if c.scale != nil {
		dw = g.Mul(dw, g.Reshape(c.scale, m/b, 1, b))
	}
	if taps > 1 && ch > 1 {
		dw = g.SwapRows(dw, m/b, taps) // [M/b, C, K, b]
	}
	return g.Reshape(g.LanesFirst(dw, m/b), c.w.Shape...)
}

// channelsLast is x with the pads left and right of win as rows [N, H, W, C].
func channelsLast(g *graph.Graph, x *graph.Value, win graph.Window) *graph.Value {
	pad := graph.Window{KH: 1, KW: 1, Stride: 1, Pads: [4]int{0, win.Pads[1], 0, win.Pads[3]}}
	n, ch, h := x.Shape[0], x.Shape[1], x.Shape[2]
	if x.Layout == tensor.Plain {
		if pad.Pads != [4]int{} {
			x = g.Pad(x, []int{0, 0, 0, win.Pads[1]}, []int{0, 0, 0, win.Pads[3]})
		}
		return g.Transpose(x, 0, 2, 3, 1)
	}
	if pad.Pads != [4]int{} {
		x = copied(g, x, pad)
	}
	shape := []int{n, h, x.Shape[3], ch}
	if ch == g.Block {
		return g.View(x, shape...)
	}
	return g.Reshape(g.SwapRows(x, n, ch/g.Block), shape...)
}

// copied is the pixels of a blocked x under a 1x1 window, which leaves some out
// by its stride or adds zeros by its pads.
func copied(g *graph.Graph, x *graph.Value, win graph.Window) *graph.Value {
	shape := []int{x.Shape[1], 1, 1, 1}
	return g.BlockedConv(x, g.Full(1, shape...), shape, win, x.Shape[1], graph.Epilogue{})
}

// moreImages appends n images of zeros to x.
func moreImages(g *graph.Graph, x *graph.Value, n int) *graph.Value {
	if n == 0 {
		return x
	}
	per := x.Elements() / x.Shape[0]
	zero := g.Expand(g.Full(0, 1), n, per)
	y := g.Concat(0, g.View(x, x.Shape[0], per), zero)
	shape := []int{x.Shape[0] + n, x.Shape[1], x.Shape[2], x.Shape[3]}
	if x.Layout == tensor.NCHWc {
		return g.Unview(y, shape[0], shape[1], shape[2], shape[3])
	}
	return g.Reshape(y, shape...)
}

// colBytes bounds the column matrix of one chunk of images in columnsGrad.
const colBytes = 32 << 20

// columnsGrad is weightGrad by standard operators: columns of x, gathered a
// chunk of images at a time to bound memory, times dy, in channels-last order.
func (c convolution) columnsGrad(dy *graph.Value) *graph.Value {
	g, win := c.g, c.win
	n, ch, h, w := c.x.Shape[0], c.x.Shape[1], c.x.Shape[2], c.x.Shape[3]
	m, oh, ow, taps := c.w.Shape[0], dy.Shape[2], dy.Shape[3], win.KH*win.KW
	rows := g.Reshape(g.ToChannelsLast(c.x), n, h*w, ch)
	if win.Pads != [4]int{} { // one zero row an image stands for all padding
		rows = g.Concat(1, rows, g.Full(0, n, 1, ch))
	}
	dys := g.Reshape(g.ToChannelsLast(dy), n*oh*ow, m)
	var dw *graph.Value
	chunk := max(1, min(n, colBytes/(4*oh*ow*taps*ch)))
	for i := 0; i < n; i += chunk {
		k := min(chunk, n-i)
		part, dyPart := rows, dys
		if k < n {
			part, dyPart = g.Slice(rows, 0, i, i+k), g.Slice(dys, 0, i*oh*ow, (i+k)*oh*ow)
		}
		if taps > 1 || win.Stride > 1 {
			part = g.Gather(part, columnIndex(g, h, w, win), 1)
		}
		col := g.Reshape(part, k*oh*ow, taps*ch)
		dw = g.Gemm(col, dyPart, dw, graph.GemmAttr{TransA: true})
	}
	if c.scale != nil {
		dw = g.Mul(dw, c.scale)
	}
	return g.Transpose(g.Reshape(dw, win.KH, win.KW, ch, m), 3, 2, 0, 1)
}

// columnIndex lists, for each output pixel and tap of the window, the row of the
// input pixel under it; the row after the last pixel holds zeros.
func columnIndex(g *graph.Graph, h, w int, win graph.Window) *graph.Value {
	oh, ow := win.Out(h, w)
	taps := win.KH * win.KW
	name := fmt.Sprintf("columns(%dx%d,%dx%d/%d,%v)", h, w, win.KH, win.KW, win.Stride, win.Pads)
	return intIndex(g, name, oh*ow*taps, func(i int) int {
		o, t := i/taps, i%taps
		y := o/ow*win.Stride + t/win.KW - win.Pads[0]
		x := o%ow*win.Stride + t%win.KW - win.Pads[1]
		if y < 0 || y >= h || x < 0 || x >= w {
			return h * w
		}
		return y*w + x
	})
}
