package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// This file and its neighbours convolve in the NHWC layout. Where cuDNN (convcudnn.go) is not
// available, a 1x1 convolution and its gradients are plain matrix products; larger kernels use
// convolutions for the forward pass and the gradient of x, and a matrix product with gathered
// columns for the gradient of the weights.

// channelMultiple is the number of channels that narrower inputs of a convolution are padded to, so
// that rows of columns are aligned for fast reads.
const channelMultiple = 4

// lastInput converts x to the NHWC layout and zero-pads the three channels of images.
func lastInput(g *graph.Graph, x *graph.Value) *graph.Value {
	if x.Shape[1] >= channelMultiple {
		return g.ToNHWC(x)
	}
	if wider := g.WiderPixels(x, channelMultiple); wider != nil {
		return wider
	}
	return g.PadNHWC(g.ToNHWC(x), channelMultiple)
}

// pointwise reports whether each output pixel depends on a single input pixel.
func (c convolution) pointwise() bool { return c.win.KH*c.win.KW == 1 && c.win.Pads == [4]int{} }

// seen returns the pixels that a pointwise convolution reads, as a matrix [P, C].
func (c convolution) seen() *graph.Value {
	x := c.x
	if s := c.win.Stride; s > 1 {
		x = c.g.Once(graph.Key{Of: x, Made: fmt.Sprintf("every(%d)", s)}, func() *graph.Value { return c.g.EveryNHWC(c.x, s) })
	}
	return c.g.Rows(x)
}

// fromRows reshapes rows [N*OH*OW, M] to the shape of the result.
func (c convolution) fromRows(y *graph.Value) *graph.Value {
	oh, ow := c.win.Out(c.x.Shape[2], c.x.Shape[3])
	return c.g.FromRows(y, c.x.Shape[0], y.Shape[1], oh, ow)
}

func (c convolution) lastForward() *graph.Value {
	g := c.g
	switch {
	case c.cudnn():
		return c.cudnnForward()
	case c.pointwise():
		return c.fromRows(g.Gemm(c.seen(), c.matrix(), nil, graph.GemmAttr{TransB: true}))
	}
	return g.ConvNHWC(c.x, c.lastWeights(c.padded(c.w)), c.win)
}

// lastWeights returns weights [M, C, KH, KW] with their channels last, computed once for both views
// and both directions.
func (c convolution) lastWeights(w *graph.Value) *graph.Value {
	if c.pointwise() {
		return c.g.Reshape(w, w.Shape[0], 1, 1, w.Shape[1])
	}
	return c.g.Once(graph.Key{Of: w, Made: "last"}, func() *graph.Value { return c.g.Transpose(w, 0, 2, 3, 1) })
}

// matrix returns the weights as [M, C*KH*KW].
func (c convolution) matrix() *graph.Value { return c.g.Reshape(c.padded(c.w), c.w.Shape[0], -1) }

// padded extends weights with zeros for the channels that lastInput added.
func (c convolution) padded(w *graph.Value) *graph.Value {
	more := c.x.Shape[1] - w.Shape[1]
	if more == 0 {
		return w
	}
	return c.g.Once(graph.Key{Of: w, Made: "padded"}, func() *graph.Value { return c.g.ZerosBehind(w, 1, more) })
}

// unrounded returns the float32 value that v was cast from, or v itself.
func unrounded(v *graph.Value) *graph.Value {
	if n := v.Node; n != nil && n.Key() == "Cast" && n.Inputs[0].Type == tensor.Float32 {
		return n.Inputs[0]
	}
	return v
}
