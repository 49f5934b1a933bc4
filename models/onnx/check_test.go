package onnx

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"vicreg/models/tensor"
)

func TestCheck(t *testing.T) {
	if err := Check(small()); err != nil {
		t.Fatalf("a good model: %v", err)
	}
	for _, c := range []struct {
		want   string
		damage func(m *ModelProto)
	}{
		{"no graph", func(m *ModelProto) { m.Graph = nil }},
		{"ir version 0", func(m *ModelProto) { m.IrVersion = 0 }},
		{"the graph has no name", func(m *ModelProto) { m.Graph.Name = "" }},
		{"no operator set", func(m *ModelProto) { m.OpsetImport = nil }},
		{"imported twice", func(m *ModelProto) { m.OpsetImport = append(m.OpsetImport, m.OpsetImport[0]) }},
		{"set twice", func(m *ModelProto) { m.MetadataProps = append(m.MetadataProps, m.MetadataProps[0]) }},
		{`node 0 "mul" (Mul): input 1 "gone" is used before`, func(m *ModelProto) { m.Graph.Node[0].Input[1] = "gone" }},
		{`node 0 "clip" (Clip): input 0 "xw" is used before`, func(m *ModelProto) {
			n := m.Graph.Node
			n[0], n[1] = n[1], n[0]
		}},
		{`node 1 "clip" (Clip): output 0 "xw" is already made`, func(m *ModelProto) { m.Graph.Node[1].Output[0] = "xw" }},
		{`node 1 "clip" (Clip): output 0 "w" is already made`, func(m *ModelProto) { m.Graph.Node[1].Output[0] = "w" }},
		{`node 0 "mul" (Mul): output 0 "xw" has no value_info`, func(m *ModelProto) { m.Graph.ValueInfo = m.Graph.ValueInfo[1:] }},
		{`node 0 "mul" (Mul): operator set "com.microsoft"`, func(m *ModelProto) { m.Graph.Node[0].Domain = "com.microsoft" }},
		{`node 0 "mul" (): no operator`, func(m *ModelProto) { m.Graph.Node[0].OpType = "" }},
		{`attribute "keepdims": 1 values for type UNDEFINED`, func(m *ModelProto) { m.Graph.Node[2].Attribute[0].Type = 0 }},
		{`attribute "keepdims": 2 values for type INT`, func(m *ModelProto) { m.Graph.Node[2].Attribute[0].Ints = []int64{1} }},
		{`attribute "keepdims": no name, or given twice`, func(m *ModelProto) {
			m.Graph.Node[2].Attribute[1].Name = "keepdims"
		}},
		{`tensor "w": 8 bytes and 0 typed elements`, func(m *ModelProto) { m.Graph.Initializer[0].RawData = make([]byte, 8) }},
		{`tensor "w": 0 elements for float32[3]`, func(m *ModelProto) { m.Graph.Initializer[0].RawData = nil }},
		{`tensor "w": impossible dimensions`, func(m *ModelProto) { m.Graph.Initializer[0].Dims[0] = -3 }},
		{`tensor "w": element type dtype(99)`, func(m *ModelProto) { m.Graph.Initializer[0].DataType = 99 }},
		{`tensor "w": its data is in another file`, func(m *ModelProto) { m.Graph.Initializer[0].DataLocation = 1 }},
		{`initializer "w": no name, or a name given twice`, func(m *ModelProto) { m.Graph.Initializer[1].Name = "w" }},
		{`input "x": no name, or a name given twice`, func(m *ModelProto) { m.Graph.Input = append(m.Graph.Input, m.Graph.Input[0]) }},
		{`value "x": no tensor type`, func(m *ModelProto) { m.Graph.Input[0].Type = nil }},
		{`value "y": no shape`, func(m *ModelProto) { m.Graph.Output[0].Type.GetTensorType().Shape = nil }},
		{`value "xw": declared twice`, func(m *ModelProto) { m.Graph.ValueInfo[1] = m.Graph.ValueInfo[0] }},
		{`output "y": nothing makes it`, func(m *ModelProto) { m.Graph.Node = m.Graph.Node[:2] }},
	} {
		m := small()
		c.damage(m)
		err := Check(m)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// TestCheckNested checks a graph inside an attribute: it sees the names of the enclosing graph, and
// its own errors are found.
func TestCheckNested(t *testing.T) {
	branch := &GraphProto{
		Name:      "then",
		Output:    []*ValueInfoProto{{Name: "z"}},
		ValueInfo: []*ValueInfoProto{ValueInfo(tensor.Spec{Name: "z", Type: tensor.Float32})},
		Node:      []*NodeProto{{OpType: "Neg", Input: []string{"x"}, Output: []string{"z"}}},
	}
	m := small()
	m.Graph.Node = append(m.Graph.Node, &NodeProto{OpType: "If", Name: "if", Input: []string{"cond"}, Output: []string{"r"},
		Attribute: []*AttributeProto{{Name: "then_branch", Type: AttributeProto_GRAPH, G: branch}}})
	m.Graph.Initializer = append(m.Graph.Initializer, TensorOf(tensor.Of([]bool{true}), "cond"))
	m.Graph.ValueInfo = append(m.Graph.ValueInfo, ValueInfo(tensor.Spec{Name: "r", Type: tensor.Float32}))
	if err := Check(m); err != nil {
		t.Fatal(err)
	}
	m = proto.Clone(m).(*ModelProto)
	m.Graph.Node[3].Attribute[0].G.Node[0].Input[0] = "gone"
	if err := Check(m); err == nil || !strings.Contains(err.Error(), `attribute "then_branch": node 0 "" (Neg): input 0 "gone"`) {
		t.Errorf("a mistake inside a nested graph gave %v", err)
	}
}
