package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// Conv convolves x [N, C, H, W] with w [M, C/group, KH, KW], giving
// [N, M, OH, OW]; bias [M] may be nil.
func (g *Graph) Conv(x, w, bias *Value, win Window, group int) *Value {
	g.plain("Conv", x, w)
	shape, err := ConvShape(x.Shape, w.Shape, win, group)
	if err != nil {
		g.Fail("Conv", "%v", err)
	}
	if bias != nil && !slices.Equal(bias.Shape, w.Shape[:1]) {
		g.Fail("Conv", "bias %v does not fit weight %v", bias.Shape, w.Shape)
	}
	attrs := append(WindowAttrs(win), Attr{"group", group})
	return g.op1("Conv", attrs, withBias(x, w, bias), x.Type, shape)
}

// ConvTranspose is the gradient of Conv with respect to its input, as a layer:
// x [N, M, H, W] with w [M, C, KH, KW] gives [N, C, ...]; outPad adds rows and
// columns at the bottom and right that a strided Conv left out.
func (g *Graph) ConvTranspose(x, w *Value, win Window, outPad [2]int) *Value {
	g.plain("ConvTranspose", x, w)
	shape, err := ConvTransposeShape(x.Shape, w.Shape, win, outPad)
	if err != nil {
		g.Fail("ConvTranspose", "%v", err)
	}
	attrs := append(WindowAttrs(win), Attr{"output_padding", outPad[:]})
	return g.op1("ConvTranspose", attrs, []*Value{x, w}, x.Type, shape)
}

// MaxPool is the maximum over a window of x [N, C, H, W], and the flat position
// in x of each maximum as int64.
func (g *Graph) MaxPool(x *Value, win Window) (y, index *Value) {
	g.plain("MaxPool", x)
	shape, err := PoolShape(x.Shape, win)
	if err != nil {
		g.Fail("MaxPool", "%v", err)
	}
	out := g.op("", "MaxPool", WindowAttrs(win), []*Value{x},
		&Value{Type: x.Type, Shape: shape}, &Value{Type: tensor.Int64, Shape: slices.Clone(shape)})
	return out[0], out[1]
}

// BatchNormalization is the inference form: (x - mean) / sqrt(var + eps) * scale
// + bias per channel of x [N, C, ...]. The training form is a layer of package
// nn, since ONNX Runtime's CUDA kernel ignores training_mode.
func (g *Graph) BatchNormalization(x, scale, bias, mean, variance *Value, eps float32) *Value {
	g.plain("BatchNormalization", x, scale, bias, mean, variance)
	if x.Rank() < 2 {
		g.Fail("BatchNormalization", "input %v has no channels", x.Shape)
	}
	for _, p := range []*Value{scale, bias, mean, variance} {
		if p.Rank() != 1 || p.Shape[0] != x.Shape[1] {
			g.Fail("BatchNormalization", "parameter %s%v does not fit input %v", p.Name, p.Shape, x.Shape)
		}
	}
	return g.op1("BatchNormalization", []Attr{{"epsilon", eps}}, []*Value{x, scale, bias, mean, variance}, x.Type, x.Shape)
}

// Window reads the window back from the attributes of a node.
func (n *Node) Window() Window {
	k, p, s := n.Attr("kernel_shape").([]int), n.Attr("pads").([]int), n.Attr("strides").([]int)
	win := Window{KH: k[0], KW: k[1], Stride: s[0], Pads: [4]int(p)}
	if d, ok := n.Attr("dilations").([]int); ok {
		win.Dilation = [2]int(d)
	}
	return win
}

// WindowAttrs are the ONNX attributes of a window.
func WindowAttrs(win Window) []Attr {
	attrs := []Attr{{"kernel_shape", []int{win.KH, win.KW}}, {"pads", slices.Clone(win.Pads[:])},
		{"strides", []int{win.Stride, win.Stride}}}
	if d := win.Dilation; d != [2]int{} {
		attrs = append(attrs, Attr{"dilations", []int{max(1, d[0]), max(1, d[1])}})
	}
	return attrs
}

func withBias(x, w, bias *Value) []*Value {
	if bias == nil {
		return []*Value{x, w}
	}
	return []*Value{x, w, bias}
}
