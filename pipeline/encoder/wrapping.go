package encoder

import (
	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// wrapping is what surrounds a foreign graph: nodes before its input and after its output. New
// values get names that the graph does not use.
type wrapping struct {
	g         *onnx.GraphProto
	in, out   *onnx.ValueInfoProto // of the foreign graph
	taken     map[string]bool
	pixels    string // the new input
	embedding string // the new output
	flat      string // input of the final cast to the new output
}

func newWrapping(g *onnx.GraphProto, in, out *onnx.ValueInfoProto) *wrapping {
	w := &wrapping{g: g, in: in, out: out, taken: map[string]bool{}}
	taken(g, w.taken)
	w.pixels, w.embedding, w.flat = w.fresh("pixels"), w.fresh("embedding"), w.fresh("embedding.flat")
	return w
}

// fresh returns an unused name derived from name.
func (w *wrapping) fresh(name string) string {
	for w.taken[name] {
		name += "_"
	}
	w.taken[name] = true
	return name
}

// front replaces the input by pixels uint8 [N, S, S, 3]: first the layout, then pixel*scale + shift
// in float32, with scale and shift as in nn.Normalize, then a cast to the type of the input.
func (w *wrapping) front(f Foreign) {
	s, rest := f.Crop, w.g.Node
	w.g.Node, w.g.Input = nil, nil
	x, shape, channels := w.pixels, []int{-1, s, s, 3}, []int{3}
	w.g.Input = append(w.g.Input, declared(x, tensor.Uint8, shape...))
	if f.Layout == "nchw" {
		shape, channels = []int{-1, 3, s, s}, []int{3, 1, 1}
		x = w.node("Transpose", w.fresh("pixels.nchw"), tensor.Uint8, shape, []string{x}, onnx.Ints("perm", 0, 3, 1, 2))
	}
	scale, shift := make([]float32, 3), make([]float32, 3)
	for i := range 3 {
		scale[i] = float32(1 / (255 * f.Std[i]))
		shift[i] = float32(-f.Mean[i] / f.Std[i])
	}
	x = w.node("Cast", w.fresh("pixels.float"), tensor.Float32, shape, []string{x}, onnx.Int("to", int64(tensor.Float32)))
	x = w.node("Mul", w.fresh("pixels.scaled"), tensor.Float32, shape, []string{x, w.constant("pixels.scale", scale, channels)})
	x = w.node("Add", w.fresh("pixels.normalized"), tensor.Float32, shape, []string{x, w.constant("pixels.shift", shift, channels)})
	into := elemType(w.in)
	w.node("Cast", w.in.Name, into, shape, []string{x}, onnx.Int("to", int64(into)))
	w.g.Node = append(w.g.Node, rest...)
}

// back derives the new output from the old one, which remains an output until finish.
func (w *wrapping) back() {
	flatten := &onnx.NodeProto{Name: w.flat, OpType: "Flatten", Input: []string{w.out.Name}, Output: []string{w.flat},
		Attribute: []*onnx.AttributeProto{onnx.Int("axis", 1)}}
	cast := &onnx.NodeProto{Name: w.embedding, OpType: "Cast", Input: []string{w.flat}, Output: []string{w.embedding},
		Attribute: []*onnx.AttributeProto{onnx.Int("to", int64(tensor.Float32))}}
	w.g.Node = append(w.g.Node, flatten, cast)
	w.g.Output = []*onnx.ValueInfoProto{declared(w.embedding, tensor.Float32, -1, -2), w.out}
}

// finish declares the shapes now known: made is the foreign output for one image.
func (w *wrapping) finish(made *tensor.Tensor, dim int) {
	open := append([]int{-1}, made.Shape[1:]...)
	w.g.ValueInfo = append(w.g.ValueInfo, declared(w.out.Name, made.Type, open...), declared(w.flat, made.Type, -1, dim))
	w.g.Output = []*onnx.ValueInfoProto{declared(w.embedding, tensor.Float32, -1, dim)}
}

// node adds a node with one output and returns the output's name.
func (w *wrapping) node(op, out string, t tensor.DType, shape []int, in []string, attributes ...*onnx.AttributeProto) string {
	w.g.Node = append(w.g.Node, &onnx.NodeProto{Name: out, OpType: op, Input: in, Output: []string{out}, Attribute: attributes})
	w.g.ValueInfo = append(w.g.ValueInfo, declared(out, t, shape...))
	return out
}

func (w *wrapping) constant(name string, values []float32, shape []int) string {
	name = w.fresh(name)
	w.g.Initializer = append(w.g.Initializer, onnx.TensorOf(tensor.Of(values, shape...), name))
	return name
}

func declared(name string, t tensor.DType, shape ...int) *onnx.ValueInfoProto {
	return onnx.ValueInfo(tensor.Spec{Name: name, Type: t, Shape: shape})
}

func elemType(v *onnx.ValueInfoProto) tensor.DType {
	return tensor.DType(v.GetType().GetTensorType().GetElemType())
}
