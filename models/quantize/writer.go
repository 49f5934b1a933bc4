package quantize

import (
	"fmt"
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// writer builds the quantised graph, node by node.
type writer struct {
	*network
	graph *onnx.GraphProto
	steps map[string]step // of the quantised values
	wrote map[string]bool // constants already in the graph
}

// asFloat names the dequantised form of a quantised value or constant.
func asFloat(name string) string { return name + ".dequantized" }

// asInteger names its integer form.
func asInteger(name string) string { return name + ".quantized" }

// node copies a node, makes it read the dequantised form of its quantised inputs, and quantises
// its outputs where other nodes read them as integers.
func (w *writer) node(n *onnx.NodeProto) error {
	c := &onnx.NodeProto{OpType: n.OpType, Domain: n.Domain, Name: n.Name, Input: slices.Clone(n.Input), Output: w.needed(n), Attribute: n.Attribute}
	for i, in := range n.Input {
		if _, is := w.steps[in]; is && reads(n, i) {
			c.Input[i] = asFloat(in)
		}
	}
	if n.OpType == "Conv" {
		if err := w.weights(c, n); err != nil {
			return err
		}
	}
	for _, in := range c.Input {
		if t := w.consts[in]; t != nil {
			w.constant(t)
		}
	}
	w.graph.Node = append(w.graph.Node, c)
	for _, out := range c.Output {
		if s, ok := w.specs[out]; ok {
			w.graph.ValueInfo = append(w.graph.ValueInfo, onnx.ValueInfo(s))
		}
		if st, ok := w.steps[out]; ok {
			w.integers(out, st)
		}
	}
	return nil
}

// needed returns the outputs of a node without trailing ones that nobody reads: the integer form
// of MaxPool has no second output.
func (w *writer) needed(n *onnx.NodeProto) []string {
	out := n.Output
	for len(out) > 1 && !w.used[out[len(out)-1]] {
		out = out[:len(out)-1]
	}
	return slices.Clone(out)
}

// integers adds the nodes that quantise a value and dequantise it again.
func (w *writer) integers(value string, st step) {
	scale, zero := w.scalar(value+".scale", tensor.Of([]float32{st.scale})), w.scalar(value+".zero", tensor.Of([]uint8{st.zero}))
	shape := w.specs[value].Shape
	w.op("QuantizeLinear", nil, asInteger(value), tensor.Uint8, shape, value, scale, zero)
	w.op("DequantizeLinear", nil, asFloat(value), tensor.Float32, shape, asInteger(value), scale, zero)
}

// weights replaces the weights and the bias of a convolution by integers; c is the copy of n. Its
// input is quantised already.
func (w *writer) weights(c, n *onnx.NodeProto) error {
	x, ok := w.steps[n.Input[0]]
	if !ok || w.consts[n.Input[1]] == nil || len(n.Input) < 3 || w.consts[n.Input[2]] == nil {
		return fmt.Errorf("want an activation in float32, and weights and a bias that are constants")
	}
	weight, err := onnx.TensorFrom(w.consts[n.Input[1]])
	if err != nil {
		return err
	}
	bias, err := onnx.TensorFrom(w.consts[n.Input[2]])
	if err != nil {
		return err
	}
	if weight.Type != tensor.Float32 || bias.Type != tensor.Float32 || weight.Len() == 0 || bias.Len() != weight.Shape[0] {
		return fmt.Errorf("weights %v%v and bias %v%v", weight.Type, weight.Shape, bias.Type, bias.Shape)
	}
	q, b, scales := convolution(weight.Float32(), bias.Float32(), x.scale)
	m, name := weight.Shape[0], n.Output[0]
	steps, sums := make([]float32, m), make([]float32, m)
	for i, s := range scales {
		steps[i], sums[i] = s, s*x.scale
	}
	c.Input[1] = w.channels(name+".weight", tensor.Of(q, weight.Shape...), steps, tensor.Of(make([]int8, m)))
	c.Input[2] = w.channels(name+".bias", tensor.Of(b, m), sums, tensor.Of(make([]int32, m)))
	return nil
}

// convolution quantises the weights [M, ...] and the bias [M] of a convolution. scales are those
// of each channel's weights; the scale of its bias is that times input.
func convolution(weight, bias []float32, input float32) (q []int8, b []int32, scales []float32) {
	q, b, scales = make([]int8, len(weight)), make([]int32, len(bias)), make([]float32, len(bias))
	per := len(weight) / len(bias)
	for m := range bias {
		own := weight[m*per : (m+1)*per]
		scales[m] = channel(own, bias[m], input)
		for i, v := range own {
			q[m*per+i] = int8(round(float64(v), float64(scales[m])))
		}
		b[m] = int32(round(float64(bias[m]), float64(scales[m])*float64(input)))
	}
	return q, b, scales
}

// channels adds an integer constant with one scale per element of its first dimension, and
// returns the name of its dequantised form.
func (w *writer) channels(name string, q *tensor.Tensor, scales []float32, zeros *tensor.Tensor) string {
	w.constant(onnx.TensorOf(q, asInteger(name)))
	w.constant(onnx.TensorOf(tensor.Of(scales), name+".scale"))
	w.constant(onnx.TensorOf(zeros, name+".zero"))
	w.op("DequantizeLinear", []*onnx.AttributeProto{onnx.Int("axis", 0)}, asFloat(name), tensor.Float32, q.Shape, asInteger(name), name+".scale", name+".zero")
	return asFloat(name)
}

func (w *writer) scalar(name string, t *tensor.Tensor) string {
	t.Shape = []int{}
	w.constant(onnx.TensorOf(t, name))
	return name
}

// constant adds t unless the graph has it already.
func (w *writer) constant(t *onnx.TensorProto) {
	if !w.wrote[t.Name] {
		w.wrote[t.Name] = true
		w.graph.Initializer = append(w.graph.Initializer, t)
	}
}

// op adds a node with one output.
func (w *writer) op(op string, attributes []*onnx.AttributeProto, out string, t tensor.DType, shape []int, in ...string) {
	w.graph.Node = append(w.graph.Node, &onnx.NodeProto{OpType: op, Name: out, Input: in, Output: []string{out}, Attribute: attributes})
	w.graph.ValueInfo = append(w.graph.ValueInfo, onnx.ValueInfo(tensor.Spec{Name: out, Type: t, Shape: shape}))
}
