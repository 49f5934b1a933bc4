package graph

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file work on the NHWC layout of ONNX Runtime's CUDA kernels: memory holds
// [N, H, W, C] while the shape says [N, C, H, W]. The runtime inserts such nodes itself if told to
// prefer the layout, but only between pairs of Transposes; built here, values stay in the layout.

// ToNHWC transposes x [N, C, H, W] into the NHWC layout; a value already in it passes through.
func (g *Graph) ToNHWC(x *Value) *Value {
	if x.Layout == tensor.NHWC {
		return x
	}
	g.plain("Transpose", x)
	if x.Rank() != 4 {
		g.Fail("Transpose", "%v has no layout", x.Shape)
	}
	return g.nhwc("", "Transpose", []Attr{{"perm", []int{0, 2, 3, 1}}}, []*Value{x}, x.Type, x.Shape)
}

// Rows views the memory of an NHWC value as a matrix, [N*H*W, C].
func (g *Graph) Rows(x *Value) *Value {
	g.channelsLast("Reshape", x)
	return g.View(x, x.Elements()/x.Shape[1], x.Shape[1])
}

// FromRows views the memory of a plain value, [N*H*W, C] with its axes grouped in any way, as an
// NHWC value of shape [N, C, H, W].
func (g *Graph) FromRows(x *Value, n, c, h, w int) *Value {
	g.plain("Reshape", x)
	if x.Elements() != n*c*h*w {
		g.Fail("Reshape", "%v does not hold %v", x.Shape, []int{n, c, h, w})
	}
	return g.nhwc("", "Reshape", nil, []*Value{x, g.Ints(n, h, w, c)}, x.Type, []int{n, c, h, w})
}

// EveryNHWC keeps every stride-th row and column of pixels, starting with the first.
func (g *Graph) EveryNHWC(x *Value, stride int) *Value {
	g.channelsLast("Slice", x)
	h, w := x.Shape[2], x.Shape[3]
	shape := []int{x.Shape[0], x.Shape[1], (h + stride - 1) / stride, (w + stride - 1) / stride}
	in := []*Value{x, g.Ints(0, 0), g.Ints(h, w), g.Ints(1, 2), g.Ints(stride, stride)}
	return g.nhwc("", "Slice", nil, in, x.Type, shape)
}

// PadNHWC zero-pads x to c channels.
func (g *Graph) PadNHWC(x *Value, c int) *Value {
	g.channelsLast("Pad", x)
	if c < x.Shape[1] {
		g.Fail("Pad", "%v has more than %d channels", x.Shape, c)
	}
	shape := []int{x.Shape[0], c, x.Shape[2], x.Shape[3]}
	pads := g.Ints(0, 0, 0, 0, 0, 0, 0, c-x.Shape[1])
	return g.nhwc("", "Pad", []Attr{{"mode", "constant"}}, []*Value{x, pads}, x.Type, shape)
}

// ConvNHWC convolves x with w, plain [M, KH, KW, C].
//
// The kernel reads its weights as channels-last only if it has been handed some other constant,
// hence the bias of zeros: weights that are computed then reach it untransposed, and in the only
// order for which it has tensor cores. The bias costs nothing with the provider's option
// fuse_conv_bias.
func (g *Graph) ConvNHWC(x, w *Value, win Window) *Value {
	g.channelsLast("Conv", x)
	g.plain("Conv", w)
	if w.Rank() != 4 || w.Type != x.Type {
		g.Fail("Conv", "weight %v%v for an input of %v", w.Type, w.Shape, x.Type)
	}
	m, c := w.Shape[0], w.Shape[3]
	shape, err := ConvShape(x.Shape, []int{m, c, w.Shape[1], w.Shape[2]}, win, 1)
	if err != nil {
		g.Fail("Conv", "%v", err)
	}
	return g.nhwc(DomainNHWC, "Conv", WindowAttrs(win), []*Value{x, w, g.zeros(x.Type, m)}, x.Type, shape)
}

// MaxPoolNHWC is MaxPool on x in the NHWC layout. The positions are those in a plain x, in a plain
// value.
func (g *Graph) MaxPoolNHWC(x *Value, win Window) (y, index *Value) {
	g.channelsLast("MaxPool", x)
	shape, err := PoolShape(x.Shape, win)
	if err != nil {
		g.Fail("MaxPool", "%v", err)
	}
	out := g.op(DomainNHWC, "MaxPool", WindowAttrs(win), []*Value{x},
		&Value{Type: x.Type, Shape: shape, Layout: tensor.NHWC}, &Value{Type: tensor.Int64, Shape: slices.Clone(shape)})
	return out[0], out[1]
}

// MeanNHWC averages x [N, C, H, W] over its pixels, giving plain [N, C]. In bfloat16, for which the
// runtime has no kernel, it is a product with ones, accumulated in float32. The division is in
// float32, too: the runtime would round the factor.
func (g *Graph) MeanNHWC(x *Value) *Value {
	g.channelsLast("GlobalAveragePool", x)
	n, c, pixels := x.Shape[0], x.Shape[1], x.Shape[2]*x.Shape[3]
	if x.Type == tensor.BFloat16 {
		ones := g.Cast(g.Full(1, pixels, 1), x.Type)
		sum := g.Cast(g.FusedMatMul(g.View(x, n, pixels, c), ones, true, false, 1), tensor.Float32)
		return g.Reshape(g.Cast(g.Mul(sum, g.Float(1/float64(pixels))), x.Type), n, c)
	}
	return g.View(g.nhwc(DomainNHWC, "GlobalAveragePool", nil, []*Value{x}, x.Type, []int{n, c, 1, 1}), n, c)
}

// NormNHWC is BatchNormalization on x in the NHWC layout. The parameters [C] have
// the type of x; the kernel computes in float32.
func (g *Graph) NormNHWC(x, scale, bias, mean, variance *Value, eps float32) *Value {
	g.channelsLast("BatchNormalization", x)
	for _, p := range []*Value{scale, bias, mean, variance} {
		if p.Rank() != 1 || p.Shape[0] != x.Shape[1] || p.Type != x.Type {
			g.Fail("BatchNormalization", "parameter %s: %v%v does not fit input %v%v", p.Name, p.Type, p.Shape, x.Type, x.Shape)
		}
	}
	in := []*Value{x, scale, bias, mean, variance}
	return g.nhwc(DomainNHWC, "BatchNormalization", []Attr{{"epsilon", eps}}, in, x.Type, x.Shape)
}

// ScaleNHWC is x*scale, per channel.
func (g *Graph) ScaleNHWC(x, scale *Value) *Value {
	g.channelsLast("Mul", x)
	if scale.Rank() != 1 || scale.Shape[0] != x.Shape[1] || scale.Type != x.Type {
		g.Fail("Mul", "%v%v does not fit input %v%v", scale.Type, scale.Shape, x.Type, x.Shape)
	}
	return g.nhwc("", "Mul", nil, []*Value{x, scale}, x.Type, x.Shape)
}

// wideRow is the row length that BiasAdd aims for: enough to occupy the threads that the kernel
// assigns to each row.
const wideRow = 2048

// BiasAdd is x + bias + skip in one pass over memory, where x and skip are matrices
// [P, C] and bias is [C].
func (g *Graph) BiasAdd(x, bias, skip *Value) *Value {
	g.plain("BiasAdd", x, bias, skip)
	if x.Rank() != 2 || bias.Rank() != 1 || bias.Shape[0] != x.Shape[1] || !slices.Equal(x.Shape, skip.Shape) ||
		x.Type != bias.Type || x.Type != skip.Type {
		g.Fail("BiasAdd", "%v%v, bias %v%v and %v%v do not fit", x.Type, x.Shape, bias.Type, bias.Shape, skip.Type, skip.Shape)
	}
	p, c := x.Shape[0], x.Shape[1]
	rows := 1
	for p%(2*rows) == 0 && 2*rows*c <= wideRow {
		rows *= 2
	}
	wide := []int{1, p / rows, rows * c}
	if rows > 1 {
		bias = g.Reshape(g.Expand(g.Reshape(bias, 1, c), rows, c), rows*c)
	}
	in := []*Value{g.Reshape(x, wide...), bias, g.Reshape(skip, wide...)}
	y := g.op(DomainMS, "BiasAdd", nil, in, &Value{Type: x.Type, Shape: wide})[0]
	return g.Reshape(y, p, c)
}

func (g *Graph) nhwc(domain, op string, attrs []Attr, in []*Value, t tensor.DType, shape []int) *Value {
	return g.op(domain, op, attrs, in, &Value{Type: t, Shape: slices.Clone(shape), Layout: tensor.NHWC})[0]
}

// channelsLast fails unless x is in the NHWC layout.
func (g *Graph) channelsLast(op string, x *Value) {
	if x.Layout != tensor.NHWC {
		g.Fail(op, "%s is in the %v layout", x.Name, x.Layout)
	}
}

// zeros is a constant of n zeros of any numeric type.
func (g *Graph) zeros(t tensor.DType, n int) *Value {
	return g.Const(fmt.Sprintf("zeros(%v,%d)", t, n), func() *tensor.Tensor { return tensor.New(t, n) })
}
