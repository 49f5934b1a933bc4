package ort_test

import (
	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// builder builds the small models of these tests.
type builder struct{ g *onnx.GraphProto }

func newBuilder() *builder { return &builder{&onnx.GraphProto{Name: "test"}} }

func info(t tensor.DType, name string, shape ...int) *onnx.ValueInfoProto {
	return onnx.ValueInfo(tensor.Spec{Name: name, Type: t, Shape: shape})
}

func (b *builder) input(t tensor.DType, name string, shape ...int) *builder {
	b.g.Input = append(b.g.Input, info(t, name, shape...))
	return b
}

func (b *builder) output(t tensor.DType, name string, shape ...int) *builder {
	b.g.Output = append(b.g.Output, info(t, name, shape...))
	return b
}

func (b *builder) value(t tensor.DType, name string, shape ...int) *builder {
	b.g.ValueInfo = append(b.g.ValueInfo, info(t, name, shape...))
	return b
}

func (b *builder) node(op, out string, in ...string) *builder {
	b.g.Node = append(b.g.Node, &onnx.NodeProto{Name: out, OpType: op, Input: in, Output: []string{out}})
	return b
}

func (b *builder) model() *onnx.ModelProto {
	return &onnx.ModelProto{IrVersion: 8, OpsetImport: []*onnx.OperatorSetIdProto{{Version: 18}}, Graph: b.g}
}

// stepModel is w' = w - lr*x and n' = n + 1, with loss = sum(w*x) and a second
// scalar in float64.
func stepModel() *onnx.ModelProto {
	const f32 = tensor.Float32
	b := newBuilder().
		input(f32, "w", 2, 3).input(tensor.Int64, "n", 1).input(f32, "x", 2, 3).input(f32, "lr", 1).
		output(f32, "w.next", 2, 3).output(tensor.Int64, "n.next", 1).output(f32, "loss", 1).output(tensor.Float64, "norm", 1).
		value(f32, "dw", 2, 3).value(f32, "wx", 2, 3).value(f32, "sum", 1, 1).value(f32, "sq", 1, 1).value(f32, "sq1", 1).
		node("Mul", "dw", "lr", "x").node("Sub", "w.next", "w", "dw").node("Add", "n.next", "n", "one").
		node("Mul", "wx", "w", "x").node("ReduceSum", "sum", "wx").node("Reshape", "loss", "sum", "shape").
		node("ReduceSumSquare", "sq", "w").node("Reshape", "sq1", "sq", "shape").node("Cast", "norm", "sq1")
	b.g.Node[8].Attribute = []*onnx.AttributeProto{onnx.Int("to", int64(tensor.Float64))}
	b.g.Initializer = []*onnx.TensorProto{
		onnx.TensorOf(tensor.Of([]int64{1}), "one"),
		onnx.TensorOf(tensor.Of([]int64{1}), "shape"),
	}
	return b.model()
}
