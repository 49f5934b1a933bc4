package graph

import "vicreg/models/tensor"

// The operators of this file are vicreg's own convolutions on NVIDIA's cuDNN, with the gradients
// that ONNX Runtime has no operators for; package ort registers them with every session on a CUDA
// device. Values are in the NHWC layout, weights plain [M, KH, KW, C].

// CudnnConv convolves x [N, C, H, W] with w, giving [N, M, OH, OW].
func (g *Graph) CudnnConv(x, w *Value, win Window) *Value {
	return g.nhwc(DomainCUDA, "Conv", g.tf32(cudnnWindow(win)), []*Value{x, w}, x.Type, g.cudnnResult("Conv", x, w, win))
}

// cudnnResult checks the operands of a convolution and returns the shape of its result.
func (g *Graph) cudnnResult(op string, x, w *Value, win Window) []int {
	g.cudnnOperands(op, win, w, x)
	shape, err := ConvShape(x.Shape, []int{w.Shape[0], w.Shape[3], w.Shape[1], w.Shape[2]}, win, 1)
	if err != nil {
		g.Fail(op, "%v", err)
	}
	return shape
}

// CudnnConvMoments is CudnnConv together with the statistics of its result, by which n normalises
// it. Y is the unnormalised result; there is no mask.
func (g *Graph) CudnnConvMoments(x, w *Value, win Window, n Norm) Normalized {
	y := &Value{Type: x.Type, Shape: g.cudnnResult("ConvMoments", x, w, win), Layout: tensor.NHWC}
	n.divides(g, "ConvMoments", x)
	attrs := append(g.tf32(cudnnWindow(win)), Attr{"eps", n.Eps})
	out := g.op(DomainCUDA, "ConvMoments", n.grouped(attrs), []*Value{x, w}, y, n.statistic(y), n.statistic(y), n.statistic(y))
	return Normalized{Y: out[0], Mean: out[1], Variance: out[2], Istd: out[3]}
}

// CudnnConvInputGrad is the gradient of CudnnConv with respect to x, of h x width pixels, given
// that of its result.
func (g *Graph) CudnnConvInputGrad(dy, w *Value, win Window, h, width int) *Value {
	g.cudnnOperands("ConvInputGrad", win, w, dy)
	attrs := append(cudnnWindow(win), Attr{"size", []int{h, width}})
	return g.nhwc(DomainCUDA, "ConvInputGrad", g.tf32(attrs), []*Value{dy, w}, dy.Type, []int{dy.Shape[0], w.Shape[3], h, width})
}

// CudnnConvWeightGrad is the gradient of CudnnConv with respect to the weights, given that of its
// result and x: plain [M, KH, KW, C], in the type of x. It is accumulated in float32 and rounded
// once.
func (g *Graph) CudnnConvWeightGrad(dy, x *Value, win Window) *Value {
	g.cudnnOperands("ConvWeightGrad", win, nil, dy, x)
	attrs := append(cudnnWindow(win), Attr{"kernel", []int{win.KH, win.KW}})
	shape := []int{dy.Shape[1], win.KH, win.KW, x.Shape[1]}
	return g.op(DomainCUDA, "ConvWeightGrad", g.tf32(attrs), []*Value{dy, x}, &Value{Type: x.Type, Shape: shape})[0]
}

// CudnnTakes reports whether cuDNN's operators support a window: it must have the same pads on
// opposite sides and no dilation.
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

func (g *Graph) tf32(attrs []Attr) []Attr { return append(attrs, Attr{"tf32", bit(g.TF32)}) }
