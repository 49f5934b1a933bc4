package grad

import (
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// This file convolves in the NHWC layout with the cuDNN operators, which support windows of all
// sizes and strides without gathering columns: the forward pass and both gradients.

// cudnn reports whether the convolution and its gradients use cuDNN.
func (c convolution) cudnn() bool { return c.g.CustomOps && graph.CudnnTakes(c.win) }

// cudnnForward is lastForward by cuDNN.
func (c convolution) cudnnForward() *graph.Value {
	return c.g.CudnnConv(c.x, c.lastWeights(c.padded(c.w)), c.win)
}

// cudnnInputGrad is lastInputGrad by cuDNN.
func (c convolution) cudnnInputGrad(dy *graph.Value) *graph.Value {
	return c.g.CudnnConvInputGrad(dy, c.lastWeights(c.scaled()), c.win, c.x.Shape[2], c.x.Shape[3])
}

// cudnnWeightGrad is lastWeightGrad by cuDNN, for all channels of x, padding included. It is in the
// type of x without a scale, and in float32 with one.
func (c convolution) cudnnWeightGrad(dy *graph.Value) *graph.Value {
	g, win, m, ch := c.g, c.win, c.w.Shape[0], c.x.Shape[1]
	dw := g.CudnnConvWeightGrad(dy, c.x, win)
	if c.scale != nil {
		dw = c.scaleRows(g.Cast(g.Reshape(dw, m, -1), tensor.Float32))
	}
	if c.pointwise() {
		return g.Reshape(dw, m, ch, 1, 1)
	}
	return g.Transpose(g.Reshape(dw, m, win.KH, win.KW, ch), 0, 3, 1, 2)
}
