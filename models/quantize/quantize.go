// Package quantize turns a frozen float32 network into one that convolves 8-bit
// integers: a quarter of the size, and three to four times as fast on a CPU with VNNI. Activations are
// uint8, x ≈ scale*(q - zero), with a range that was seen on example images; weights are
// int8 with a scale for each output channel and no zero point; sums are int32.
//
// Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
// Integer-Arithmetic-Only Inference", 2018, and ONNX Runtime's QDQ format, in which
// QuantizeLinear and DequantizeLinear stand around float operators that the runtime
// then replaces by those for integers.
package quantize

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// Values are the names of the activations of a model that are to be integers: what
// convolutions, sums and poolings read, in the order in which they are computed. A model
// without convolutions is an error.
func Values(m *onnx.ModelProto) ([]string, error) {
	n, err := newNetwork(m)
	if err != nil {
		return nil, err
	}
	return n.values, nil
}

// Int8 is a copy of a model with the values that Values names as integers, of the ranges
// that they were seen in. Metadata are copied, too.
func Int8(m *onnx.ModelProto, ranges map[string]Range) (*onnx.ModelProto, error) {
	n, err := newNetwork(m)
	if err != nil {
		return nil, err
	}
	w := writer{network: n, graph: &onnx.GraphProto{Name: m.Graph.Name, Input: m.Graph.Input, Output: m.Graph.Output}, wrote: map[string]bool{}, steps: map[string]step{}}
	for _, name := range n.values {
		r, ok := ranges[n.rangeOf(name)]
		if !ok {
			return nil, fmt.Errorf("quantize %s: nobody has seen the range of %s", m.Graph.Name, name)
		}
		if w.steps[name], err = r.step(); err != nil {
			return nil, fmt.Errorf("quantize %s: %s: %w", m.Graph.Name, name, err)
		}
	}
	for _, node := range m.Graph.Node {
		if err := w.node(node); err != nil {
			return nil, fmt.Errorf("quantize %s: %s %s: %w", m.Graph.Name, node.OpType, node.Name, err)
		}
	}
	q := proto.Clone(&onnx.ModelProto{IrVersion: m.IrVersion, ProducerName: m.ProducerName, OpsetImport: m.OpsetImport, MetadataProps: m.MetadataProps, Graph: w.graph}).(*onnx.ModelProto)
	return q, onnx.Check(q)
}

// Is tells whether a model computes with integers in this format.
func Is(m *onnx.ModelProto) bool {
	return slices.ContainsFunc(m.Graph.Node, func(n *onnx.NodeProto) bool { return n.OpType == "QuantizeLinear" })
}

// network is a model with what has to be known to change it.
type network struct {
	specs  map[string]tensor.Spec // of what nodes compute
	consts map[string]*onnx.TensorProto
	makers map[string]*onnx.NodeProto
	used   map[string]bool // what some node reads, or the model gives
	values []string        // that are to be integers
}

func newNetwork(m *onnx.ModelProto) (*network, error) {
	g := m.Graph
	n := &network{specs: map[string]tensor.Spec{}, consts: map[string]*onnx.TensorProto{}, makers: map[string]*onnx.NodeProto{}, used: map[string]bool{}}
	for _, t := range g.Initializer {
		n.consts[t.Name] = t
	}
	for _, v := range g.ValueInfo {
		s, err := onnx.SpecOf(v)
		if err != nil {
			return nil, err
		}
		n.specs[s.Name] = s
	}
	for _, o := range g.Output {
		n.used[o.Name] = true
	}
	integers := map[string]bool{}
	for _, node := range g.Node {
		for i, in := range node.Input {
			n.used[in] = true
			if reads(node, i) && n.consts[in] == nil && n.specs[in].Type == tensor.Float32 {
				integers[in] = true
			}
		}
	}
	convolves := false
	for _, node := range g.Node {
		convolves = convolves || node.OpType == "Conv"
		for _, out := range node.Output {
			n.makers[out] = node
			if integers[out] {
				n.values = append(n.values, out)
			}
		}
	}
	if !convolves {
		return nil, errors.New("quantize " + g.Name + ": there is no convolution in it")
	}
	return n, nil
}

// reads tells whether input i of a node is an activation that is an integer for it.
func reads(node *onnx.NodeProto, i int) bool {
	switch node.OpType {
	case "Conv", "MaxPool":
		return i == 0
	case "Add":
		return true
	}
	return false
}

// rangeOf is the value whose range is also that of name: a maximum is one of the numbers
// that it is of, and keeps its integers.
func (n *network) rangeOf(name string) string {
	for n.makers[name] != nil && n.makers[name].OpType == "MaxPool" && n.specs[n.makers[name].Input[0]].Type == tensor.Float32 {
		name = n.makers[name].Input[0]
	}
	return name
}

// Observe is a copy of a model that gives the least and the greatest number of each of
// the values instead of its outputs: Lowest and Highest of their names, float32 [].
func Observe(m *onnx.ModelProto, values []string) (*onnx.ModelProto, error) {
	o := proto.Clone(m).(*onnx.ModelProto)
	o.Graph.ValueInfo, o.Graph.Output = append(o.Graph.ValueInfo, o.Graph.Output...), nil
	for _, v := range values {
		for _, by := range []struct{ op, name string }{{"ReduceMin", Lowest(v)}, {"ReduceMax", Highest(v)}} {
			o.Graph.Node = append(o.Graph.Node, &onnx.NodeProto{OpType: by.op, Name: by.name, Input: []string{v}, Output: []string{by.name},
				Attribute: []*onnx.AttributeProto{onnx.Int("keepdims", 0)}})
			o.Graph.Output = append(o.Graph.Output, onnx.ValueInfo(tensor.Spec{Name: by.name, Type: tensor.Float32, Shape: []int{}}))
		}
	}
	return o, onnx.Check(o)
}

// Lowest and Highest are the outputs of an observed model.
func Lowest(value string) string  { return value + ".lowest" }
func Highest(value string) string { return value + ".highest" }

// Add widens the ranges by what a run of an observed model gave.
func Add(ranges map[string]Range, values []string, seen tensor.Batch) {
	for _, v := range values {
		r := ranges[v] // without one from 0 to 0, which every range has in it
		ranges[v] = Range{min(r.Min, seen[Lowest(v)].Float32()[0]), max(r.Max, seen[Highest(v)].Float32()[0])}
	}
}
