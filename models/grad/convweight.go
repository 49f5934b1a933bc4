package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// weightGrad is the gradient with respect to the weights, [M, C, KH, KW].
func (c convolution) weightGrad(dy *graph.Value) *graph.Value {
	if c.x.Layout == tensor.NHWC {
		return c.lastWeightGrad(dy)
	}
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
// Images act as the input channels, dy as a kernel the size of its plane, and the taps are the
// pixels of the result. The columns and channels of x form one axis, along which the kernel's
// columns are s*C apart. The blocked convolution keeps its sums in registers and packs nothing:
// measured, twice as fast as gathering columns for a matrix product.
//
// The result is nil where the images fill less than half of their blocks, or x would have to be
// cropped.
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
	x, dy = moreImages(g, x, missing), moreImages(g, dy, missing)
	x = padColumns(g, x, win.Pads[1], right)
	win.Pads = [4]int{win.Pads[0], 0, below, 0}
	parts := 1
	if x.Layout == tensor.NCHWc && win != graph.Square(1, 1, 0) {
		parts = c.w.Shape[1] / g.Block
	}
	return c.plainWeights(c.lanesConv(x, dy, win, parts))
}

// imageLanes moves blocks of images innermost: x [N, C, H, W] becomes, in memory, [parts, N/b, H,
// W, C/parts, b images]. With one part per block of channels, the sums of a part stay in the cache;
// a single part makes rows long enough for 1x1 convolutions and suits a plain x.
func imageLanes(g *graph.Graph, x *graph.Value, parts int) *graph.Value {
	n, ch, b := x.Shape[0], x.Shape[1], g.Block
	switch {
	case x.Layout == tensor.Plain:
		return g.LanesLast(g.Transpose(x, 0, 2, 3, 1), n/b)
	case parts == 1 && ch > b:
		return g.LanesLast(g.SwapRows(x, n, ch/b), n/b)
	}
	return swapParts(g, g.LanesLast(x, n/b), n/b, parts)
}

// lanesConv convolves the image lanes of x by dy and returns the gradient of each group of images,
// [parts, groups, M/b, K*C/parts, b].
//
// A group is a block of images. If the gradients of such groups together would be larger than dy,
// all images form one group: rearranging dy then takes one pass more, and no sum over groups is
// needed.
func (c convolution) lanesConv(x, dy *graph.Value, win graph.Window, parts int) *graph.Value {
	g, b, m := c.g, c.g.Block, c.w.Shape[0]
	n, ch, oh, ow := dy.Shape[0], c.w.Shape[1]/parts, dy.Shape[2], dy.Shape[3]
	lanes := imageLanes(g, x, parts)
	groups, images := n/b, b
	var kernel *graph.Value
	if groups*c.w.Elements() <= dy.Elements() {
		kernel = g.SwapRows(dy, groups, b) // [groups, M/b, OH*OW, b images, b]
	} else {
		groups, images = 1, n
		kernel = g.SwapRows(swapParts(g, dy, n, m/b), m/b*(n/b), b) // [M/b, N/b, OH*OW, b images, b]
	}
	shape := []int{groups * m, images, oh, ow}
	if win == graph.Square(1, 1, 0) { // pixels can be input channels, too
		// Threads share the work by rows of the result.
		lanes = g.Unview(lanes, parts, n*oh*ow, g.Block/4, ch/(g.Block/4))
		shape = []int{groups * m, images * oh * ow, 1, 1}
	} else {
		lanes = g.Unview(lanes, parts, n, x.Shape[2], x.Shape[3]*ch)
		win = graph.Window{KH: oh, KW: ow, Stride: 1, Pads: win.Pads, Dilation: [2]int{win.Stride, win.Stride * ch}}
	}
	dw := g.BlockedConv(lanes, g.Reshape(kernel, shape...), shape, win, groups, graph.Epilogue{})
	return g.View(dw, parts, groups, m/b, -1, b)
}

// plainWeights sums dw [parts, groups, M/b, K*C/parts, b] over its groups, applies the scale and
// brings the result to [M, C, KH, KW].
func (c convolution) plainWeights(dw *graph.Value) *graph.Value {
	g, b := c.g, c.g.Block
	parts, m, taps := dw.Shape[0], c.w.Shape[0], c.win.KH*c.win.KW
	if dw.Shape[1] > 1 {
		dw = g.ReduceSum(dw, true, 1)
	}
	if c.scale != nil {
		dw = g.Mul(dw, g.Reshape(c.scale, m/b, 1, b))
	}
	if taps > 1 && c.w.Shape[1] > 1 {
		dw = g.SwapRows(dw, parts*m/b, taps) // [parts, M/b, C/parts, K, b]
	}
	return g.Reshape(g.LanesFirst(swapParts(g, dw, parts, m/b), m/b), c.w.Shape...)
}

// padColumns adds columns of zeros left and right of x.
func padColumns(g *graph.Graph, x *graph.Value, left, right int) *graph.Value {
	switch {
	case left+right == 0:
		return x
	case x.Layout == tensor.Plain:
		return g.Pad(x, []int{0, 0, 0, left}, []int{0, 0, 0, right})
	}
	return copied(g, x, graph.Window{KH: 1, KW: 1, Stride: 1, Pads: [4]int{0, left, 0, right}})
}

// swapParts turns memory [R, S, ...] into [S, R, ...]. Gather of large parts uses all threads,
// Transpose only one.
func swapParts(g *graph.Graph, x *graph.Value, r, s int) *graph.Value {
	if r == 1 || s == 1 {
		return x
	}
	order := intIndex(g, fmt.Sprintf("swap(%d,%d)", r, s), r*s, func(i int) int { return i%r*s + i/r })
	return g.Gather(g.View(x, r*s, -1), order, 0)
}

// copied applies a 1x1 window to the pixels of a blocked x, which drops some by its stride or adds
// zeros by its pads.
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
