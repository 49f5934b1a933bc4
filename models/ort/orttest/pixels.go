package orttest

import (
	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// Pixels returns a model that can be checked without a reference, of the form in which backbones
// are exported: its input is uint8 [N, size, size, 3], and a picture's embedding is its
// 3*size*size values times scale.
func Pixels(size int, scale float64) (*onnx.ModelProto, error) {
	g, err := graph.Build("pixels", func(g *graph.Graph) {
		x := g.Cast(g.Input("pixels", tensor.Uint8, graph.Batch, size, size, 3), tensor.Float32)
		g.Output("embedding", g.Reshape(g.Mul(x, g.Float(scale)), graph.Batch, 3*size*size))
	})
	if err != nil {
		return nil, err
	}
	return g.Model()
}

// Copied returns a model of the same form whose embedding is the picture's values as they are,
// for a session on a stand-in device (StandIn), which only copies. There the embeddings are right
// if the pixels reach the device and the graph runs as it is written (ort.None): values are cast
// to strings and back, which only the host supports.
func Copied(size int) *onnx.ModelProto {
	const text = 8
	n := 3 * size * size
	info := func(t tensor.DType, name string, shape ...int) *onnx.ValueInfoProto {
		return onnx.ValueInfo(tensor.Spec{Name: name, Type: t, Shape: shape})
	}
	cast := func(from, to string, as int64) *onnx.NodeProto {
		return &onnx.NodeProto{Name: to, OpType: "Cast", Input: []string{from}, Output: []string{to}, Attribute: []*onnx.AttributeProto{onnx.Int("to", as)}}
	}
	return &onnx.ModelProto{IrVersion: 8, OpsetImport: []*onnx.OperatorSetIdProto{{Version: 18}}, Graph: &onnx.GraphProto{
		Name:   "copied",
		Input:  []*onnx.ValueInfoProto{info(tensor.Uint8, "pixels", graph.Batch, size, size, 3)},
		Output: []*onnx.ValueInfoProto{info(tensor.Float32, "embedding", graph.Batch, n)},
		ValueInfo: []*onnx.ValueInfoProto{info(tensor.Uint8, "there", graph.Batch, size, size, 3),
			info(tensor.Uint8, "flat", graph.Batch, n), info(text, "text", graph.Batch, n)},
		Initializer: []*onnx.TensorProto{onnx.TensorOf(tensor.Of([]int64{-1, int64(n)}), "shape")},
		Node: []*onnx.NodeProto{
			{Name: "there", OpType: "Identity", Input: []string{"pixels"}, Output: []string{"there"}},
			{Name: "flat", OpType: "Reshape", Input: []string{"there", "shape"}, Output: []string{"flat"}},
			cast("flat", "text", text), cast("text", "embedding", int64(tensor.Float32)),
		},
	}}
}
