package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file are vicreg's own, over NVIDIA's cuDNN; package ort
// registers them with every session on a CUDA device. They are what ONNX Runtime has
// no operator for: gradients of convolutions, normalisation by the statistics of the
// batch with ReLU and residual in the same pass, and its gradient. Values are in the
// NHWC layout, weights plain [M, KH, KW, C], statistics and their gradients float32.

// reserveSize is the symbolic dimension of the first reserve of a graph. Each has one
// of its own, or the runtime would take them for values of one size.
const reserveSize = -1001

// CudnnConv convolves x [N, C, H, W] with w, giving [N, M, OH, OW].
func (g *Graph) CudnnConv(x, w *Value, win Window) *Value {
	g.cudnnOperands("Conv", win, w, x)
	shape, err := ConvShape(x.Shape, []int{w.Shape[0], w.Shape[3], w.Shape[1], w.Shape[2]}, win, 1)
	if err != nil {
		g.Fail("Conv", "%v", err)
	}
	return g.nhwc(DomainCUDA, "Conv", g.tf32(cudnnWindow(win)), []*Value{x, w}, x.Type, shape)
}

// CudnnConvInputGrad is the gradient of CudnnConv with respect to x of h x w pixels,
// from that of its result.
func (g *Graph) CudnnConvInputGrad(dy, w *Value, win Window, h, width int) *Value {
	g.cudnnOperands("ConvInputGrad", win, w, dy)
	attrs := append(cudnnWindow(win), Attr{"size", []int{h, width}})
	return g.nhwc(DomainCUDA, "ConvInputGrad", g.tf32(attrs), []*Value{dy, w}, dy.Type, []int{dy.Shape[0], w.Shape[3], h, width})
}

// CudnnConvWeightGrad is the gradient of CudnnConv with respect to the weights, from
// that of its result and x: plain [M, KH, KW, C], in the type of x. It is added up in
// float32 and rounded once.
func (g *Graph) CudnnConvWeightGrad(dy, x *Value, win Window) *Value {
	g.cudnnOperands("ConvWeightGrad", win, nil, dy, x)
	attrs := append(cudnnWindow(win), Attr{"kernel", []int{win.KH, win.KW}})
	shape := []int{dy.Shape[1], win.KH, win.KW, x.Shape[1]}
	return g.op(DomainCUDA, "ConvWeightGrad", g.tf32(attrs), []*Value{dy, x}, &Value{Type: x.Type, Shape: shape})[0]
}

// CudnnNorm says what goes with a normalisation: eps is added to the variance, the
// residual (nil for none, and only with ReLU) after the normalisation, ReLU comes last.
type CudnnNorm struct {
	Eps      float32
	Residual *Value
	Relu     bool
}

func (n CudnnNorm) attrs() []Attr { return []Attr{{"eps", n.Eps}, {"relu", bit(n.Relu)}} }

// CudnnBatchNorm normalises x by the statistics of the batch. It returns y, the mean
// and 1/sqrt(variance+eps) [C], and what CudnnBatchNormGrad wants to be given.
func (g *Graph) CudnnBatchNorm(x, gamma, beta *Value, n CudnnNorm) (y, mean, istd, reserve *Value) {
	g.channelsLast("BatchNorm", x)
	in := []*Value{x, gamma, beta}
	if n.Residual != nil {
		g.channelsLast("BatchNorm", n.Residual)
		if !n.Relu || !slices.Equal(n.Residual.Shape, x.Shape) || n.Residual.Type != x.Type {
			g.Fail("BatchNorm", "a residual of %v%v for %v%v, with ReLU: %v", n.Residual.Type, n.Residual.Shape, x.Type, x.Shape, n.Relu)
		}
		in = append(in, n.Residual)
	}
	g.reserves++
	statistic := func() *Value { return &Value{Type: tensor.Float32, Shape: []int{x.Shape[1]}} }
	out := g.op(DomainCUDA, "BatchNorm", n.attrs(), in,
		&Value{Type: x.Type, Shape: slices.Clone(x.Shape), Layout: tensor.NHWC}, statistic(), statistic(),
		&Value{Type: tensor.Uint8, Shape: []int{reserveSize - g.reserves + 1}})
	return out[0], out[1], out[2], out[3]
}

// CudnnNormGrads are the gradients of CudnnBatchNorm; the residual's is nil where
// there was none.
type CudnnNormGrads struct{ X, Gamma, Beta, Residual *Value }

// CudnnBatchNormGrad gives them from that of y. saved are gamma, beta, and what
// CudnnBatchNorm has returned: mean, istd and reserve.
func (g *Graph) CudnnBatchNormGrad(dy, x, y *Value, saved [5]*Value, n CudnnNorm) CudnnNormGrads {
	g.channelsLast("BatchNormGrad", dy)
	g.channelsLast("BatchNormGrad", x)
	if !n.Relu {
		y = nil // it is not looked at
	}
	like := func() *Value { return &Value{Type: x.Type, Shape: slices.Clone(x.Shape), Layout: tensor.NHWC} }
	outputs := []*Value{like(), {Type: tensor.Float32, Shape: []int{x.Shape[1]}}, {Type: tensor.Float32, Shape: []int{x.Shape[1]}}}
	if n.Residual != nil {
		outputs = append(outputs, like())
	}
	attrs := append(n.attrs(), Attr{"residual", bit(n.Residual != nil)})
	out := g.op(DomainCUDA, "BatchNormGrad", attrs, append([]*Value{dy, x, y}, saved[:]...), outputs...)
	grads := CudnnNormGrads{X: out[0], Gamma: out[1], Beta: out[2]}
	if n.Residual != nil {
		grads.Residual = out[3]
	}
	return grads
}

// CudnnMaxPool is the maximum over a window.
func (g *Graph) CudnnMaxPool(x *Value, win Window) *Value {
	g.cudnnOperands("MaxPool", win, nil, x)
	shape, err := PoolShape(x.Shape, win)
	if err != nil {
		g.Fail("MaxPool", "%v", err)
	}
	return g.nhwc(DomainCUDA, "MaxPool", cudnnPool(win), []*Value{x}, x.Type, shape)
}

// CudnnMaxPoolGrad is the gradient of CudnnMaxPool with respect to x, from that of y.
func (g *Graph) CudnnMaxPoolGrad(dy, y, x *Value, win Window) *Value {
	g.cudnnOperands("MaxPoolGrad", win, nil, dy, y, x)
	return g.nhwc(DomainCUDA, "MaxPoolGrad", cudnnPool(win), []*Value{dy, y, x}, x.Type, x.Shape)
}

// CudnnTakes tells whether cuDNN's operators have windows of a form: the same pads on
// both sides, and no dilation.
func CudnnTakes(win Window) bool {
	return win.Pads[0] == win.Pads[2] && win.Pads[1] == win.Pads[3] && max(win.Dilation[0], win.Dilation[1]) <= 1
}

func (g *Graph) cudnnOperands(op string, win Window, w *Value, images ...*Value) {
	for _, x := range images {
		g.channelsLast(op, x)
		if x.Type != images[0].Type {
			g.Fail(op, "operands are %v and %v", images[0].Type, x.Type)
		}
	}
	if !CudnnTakes(win) {
		g.Fail(op, "a window with pads %v and dilation %v", win.Pads, win.Dilation)
	}
	if w != nil {
		if g.plain(op, w); w.Rank() != 4 || w.Type != images[0].Type {
			g.Fail(op, "weight %v%v for an input of %v", w.Type, w.Shape, images[0].Type)
		}
	}
}

func cudnnWindow(win Window) []Attr {
	return []Attr{{"pads", []int{win.Pads[0], win.Pads[1]}}, {"stride", win.Stride}}
}

func cudnnPool(win Window) []Attr {
	return append(cudnnWindow(win), Attr{"kernel", []int{win.KH, win.KW}})
}

func (g *Graph) tf32(attrs []Attr) []Attr { return append(attrs, Attr{"tf32", bit(g.TF32)}) }
