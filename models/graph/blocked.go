package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file work on the NCHWc layout of ONNX Runtime's CPU
// kernels: memory holds [N, C/b, H, W, b] while the shape says [N, C, H, W].
// C is a multiple of the block b everywhere here, so that no channel is padding.

// Blocks reports whether c channels can be blocked in this graph.
func (g *Graph) Blocks(c int) bool { return g.Block > 0 && c%g.Block == 0 }

// ToBlocked reorders x [N, C, H, W] into the NCHWc layout; a blocked value
// passes through.
func (g *Graph) ToBlocked(x *Value) *Value {
	if x.Layout == tensor.NCHWc {
		return x
	}
	if x.Layout != tensor.Plain || x.Rank() != 4 || !g.Blocks(x.Shape[1]) || x.Type != tensor.Float32 {
		g.Fail("ReorderInput", "%v%v has no channel blocks of %d", x.Type, x.Shape, g.Block)
	}
	return g.blocked("ReorderInput", nil, []*Value{x}, x.Shape)
}

// ToPlain reorders a blocked or channels-last value to [N, C, H, W]; a plain value
// passes through.
func (g *Graph) ToPlain(x *Value) *Value {
	switch x.Layout {
	case tensor.Plain:
		return x
	case tensor.NHWC:
		return g.op1("Transpose", []Attr{{"perm", []int{0, 3, 1, 2}}}, []*Value{x}, x.Type, x.Shape)
	}
	attrs := []Attr{{"channels", x.Shape[1]}}
	return g.op(DomainNCHWc, "ReorderOutput", attrs, []*Value{x}, &Value{Type: x.Type, Shape: slices.Clone(x.Shape)})[0]
}

// ToChannelsLast returns a value as plain [N, H, W, C].
func (g *Graph) ToChannelsLast(x *Value) *Value {
	switch x.Layout {
	case tensor.Plain:
		return g.Transpose(x, 0, 2, 3, 1)
	case tensor.NHWC:
		return g.View(x, x.Memory()...)
	}
	n, c, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	attrs := []Attr{{"channels", c}, {"channels_last", 1}}
	return g.op(DomainNCHWc, "ReorderOutput", attrs, []*Value{x}, &Value{Type: x.Type, Shape: []int{n, h, w, c}})[0]
}

// Epilogue is what a blocked convolution does to its result before it is stored:
// add bias [M], add sum (a blocked value of the result's shape), apply Activation
// ("" or "Relu"). Nil fields are left out.
type Epilogue struct {
	Bias, Sum  *Value
	Activation string
}

// BlockedConv convolves a blocked x, or a plain x with fewer channels than a block, with weights w
// laid out by BlockWeights, whose logical shape wShape is [M, C/group, KH, KW].
func (g *Graph) BlockedConv(x, w *Value, wShape []int, win Window, group int, e Epilogue) *Value {
	shape, err := ConvShape(x.Shape, wShape, win, group)
	if err != nil {
		g.Fail("BlockedConv", "%v", err)
	}
	if x.Layout != tensor.NCHWc && x.Shape[1] >= g.Block {
		g.Fail("BlockedConv", "the input %v is plain", x.Shape)
	}
	if e.Bias != nil && !slices.Equal(e.Bias.Shape, shape[1:2]) {
		g.Fail("BlockedConv", "bias %v does not fit the result %v", e.Bias.Shape, shape)
	}
	attrs := append(WindowAttrs(win), Attr{"group", group})
	if e.Activation != "" {
		attrs = append(attrs, Attr{"activation", e.Activation})
	}
	in := []*Value{x, w}
	if e.Bias != nil || e.Sum != nil {
		in = append(in, e.Bias)
	}
	if e.Sum != nil {
		if e.Sum.Layout != tensor.NCHWc || !slices.Equal(e.Sum.Shape, shape) {
			g.Fail("BlockedConv", "sum %v%v does not fit the result %v", e.Sum.Layout, e.Sum.Shape, shape)
		}
		in = append(in, e.Sum)
	}
	return g.blocked("Conv", attrs, in, shape)
}

// BlockedMean averages a blocked x [N, C, H, W] over its pixels, giving a blocked [N, C, 1, 1]. The
// pixels of a channel are accumulated sequentially in one float32.
func (g *Graph) BlockedMean(x *Value) *Value {
	if x.Layout != tensor.NCHWc {
		g.Fail("GlobalAveragePool", "the input %v is plain", x.Shape)
	}
	return g.blocked("GlobalAveragePool", nil, []*Value{x}, []int{x.Shape[0], x.Shape[1], 1, 1})
}

// Affine is x*scale + bias (+ sum), then the activation, per channel of a
// blocked x, in one pass over memory: a depthwise 1x1 convolution.
func (g *Graph) Affine(x, scale *Value, e Epilogue) *Value {
	c := x.Shape[1]
	w := g.Reshape(scale, c, 1, 1, 1)
	return g.BlockedConv(x, w, []int{c, 1, 1, 1}, Square(1, 1, 0), c, e)
}

func (g *Graph) blocked(op string, attrs []Attr, in []*Value, shape []int) *Value {
	v := &Value{Type: tensor.Float32, Shape: slices.Clone(shape), Layout: tensor.NCHWc}
	return g.op(DomainNCHWc, op, attrs, in, v)[0]
}
