package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Conv convolves x [N, C, H, W] with w [M, C, KH, KW] without bias, giving
// [N, M, OH, OW]. In a graph with channel blocks the result is in the NCHWc
// layout wherever the channels allow it.
func Conv(g *graph.Graph, x, w *graph.Value, win graph.Window) *graph.Value {
	m, c := w.Shape[0], w.Shape[1]
	out := g.Composite("Conv", graph.WindowAttrs(win), []*graph.Value{x, w}, func(save func(string, *graph.Value)) []*graph.Value {
		if !g.Blocks(m) || c >= g.Block && !g.Blocks(c) {
			return []*graph.Value{g.Conv(g.ToPlain(x), w, nil, win, 1)}
		}
		if c >= g.Block {
			x = g.ToBlocked(x)
		}
		save("x", x)
		return []*graph.Value{g.BlockedConv(x, g.BlockWeights(w), w.Shape, win, 1, graph.Epilogue{})}
	})
	return out[0]
}

func convRule(c *Call) []*graph.Value {
	x, w, dy, win := c.Inputs[0], c.Inputs[1], c.Dy[0], c.Window()
	if blocked := c.Saved["x"]; blocked != nil {
		x = blocked
	}
	return c.each(func(i int) *graph.Value {
		if i == 1 {
			return convWeightGrad(c.G, x, dy, w.Shape, win)
		}
		return sameLayout(c.G, convInputGrad(c.G, dy, x, w, win), c.Inputs[0])
	})
}

// convInputGrad is the gradient of a convolution with respect to its input: at
// stride 1 a convolution with the flipped, transposed weights, else a transposed
// convolution.
func convInputGrad(g *graph.Graph, dy, x, w *graph.Value, win graph.Window) *graph.Value {
	if win.Stride > 1 {
		oh, ow := win.Out(x.Shape[2], x.Shape[3])
		left := [2]int{
			x.Shape[2] - ((oh-1)*win.Stride + win.KH - win.Pads[0] - win.Pads[2]),
			x.Shape[3] - ((ow-1)*win.Stride + win.KW - win.Pads[1] - win.Pads[3]),
		}
		return g.ConvTranspose(g.ToPlain(dy), w, win, left)
	}
	flipped := g.Transpose(w, 1, 0, 2, 3)
	if win.KH*win.KW > 1 {
		flipped = g.Flip(flipped, 2, 3)
	}
	back := graph.Window{KH: win.KH, KW: win.KW, Stride: 1, Pads: [4]int{
		win.KH - 1 - win.Pads[0], win.KW - 1 - win.Pads[1], win.KH - 1 - win.Pads[2], win.KW - 1 - win.Pads[3]}}
	if dy.Layout == tensor.NCHWc && g.Blocks(x.Shape[1]) {
		return g.BlockedConv(dy, g.BlockWeights(flipped), flipped.Shape, back, 1, graph.Epilogue{})
	}
	return g.Conv(g.ToPlain(dy), flipped, nil, back, 1)
}

// colBytes bounds the column matrix of one chunk of images in convWeightGrad.
const colBytes = 32 << 20

// convWeightGrad is the gradient of a convolution with respect to its weights
// wShape [M, C, KH, KW]: columns of x, gathered a chunk of images at a time to
// bound memory, times dy, in channels-last order.
func convWeightGrad(g *graph.Graph, x, dy *graph.Value, wShape []int, win graph.Window) *graph.Value {
	n, c, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	m, oh, ow, taps := wShape[0], dy.Shape[2], dy.Shape[3], win.KH*win.KW
	rows := g.Reshape(g.ToChannelsLast(x), n, h*w, c)
	if win.Pads != [4]int{} { // one zero row an image stands for all padding
		rows = g.Concat(1, rows, g.Full(0, n, 1, c))
	}
	dys := g.Reshape(g.ToChannelsLast(dy), n*oh*ow, m)
	var dw *graph.Value
	chunk := max(1, min(n, colBytes/(4*oh*ow*taps*c)))
	for i := 0; i < n; i += chunk {
		k := min(chunk, n-i)
		part, dyPart := rows, dys
		if k < n {
			part, dyPart = g.Slice(rows, 0, i, i+k), g.Slice(dys, 0, i*oh*ow, (i+k)*oh*ow)
		}
		if taps > 1 || win.Stride > 1 {
			part = g.Gather(part, columnIndex(g, h, w, win), 1)
		}
		col := g.Reshape(part, k*oh*ow, taps*c)
		dw = g.Gemm(col, dyPart, dw, graph.GemmAttr{TransA: true})
	}
	return g.Transpose(g.Reshape(dw, win.KH, win.KW, c, m), 3, 2, 0, 1)
}

// columnIndex lists, for each output pixel and tap of the window, the row of the
// input pixel under it; the row after the last pixel holds zeros.
func columnIndex(g *graph.Graph, h, w int, win graph.Window) *graph.Value {
	name := fmt.Sprintf("columns(%dx%d,%dx%d/%d,%v)", h, w, win.KH, win.KW, win.Stride, win.Pads)
	return g.Const(name, func() *tensor.Tensor {
		oh, ow := win.Out(h, w)
		index := make([]int64, 0, oh*ow*win.KH*win.KW)
		for o := range oh * ow {
			for t := range win.KH * win.KW {
				y := o/ow*win.Stride + t/win.KW - win.Pads[0]
				x := o%ow*win.Stride + t%win.KW - win.Pads[1]
				if y < 0 || y >= h || x < 0 || x >= w {
					index = append(index, int64(h*w))
					continue
				}
				index = append(index, int64(y*w+x))
			}
		}
		return tensor.Of(index)
	})
}

// sameLayout brings a gradient to the layout of the value it belongs to.
func sameLayout(g *graph.Graph, dx, x *graph.Value) *graph.Value {
	if x.Layout == tensor.NCHWc {
		return g.ToBlocked(dx)
	}
	return g.ToPlain(dx)
}
