package onnx

import (
	"testing"

	"vicreg/models/tensor"
)

func TestPeak(t *testing.T) {
	value := func(name string, shape ...int) *ValueInfoProto {
		return ValueInfo(tensor.Spec{Name: name, Type: tensor.Float16, Shape: shape})
	}
	node := func(op string, out string, in ...string) *NodeProto {
		return &NodeProto{OpType: op, Output: []string{out}, Input: in}
	}
	g := &GraphProto{
		Input: []*ValueInfoProto{value("x", 4096)}, Output: []*ValueInfoProto{value("y", 4096)},
		ValueInfo: []*ValueInfoProto{value("a", 1024), value("flat", 32, 32), value("b", 512), value("c", 100), value("unread", 4096), value("open", -1)},
		Node: []*NodeProto{
			node("Relu", "a", "x"),        // 2048 bytes
			node("Reshape", "flat", "a"),  // shares the memory of a
			node("Relu", "unread", "x"),   // 8192, freed at once: the peak
			node("Relu", "b", "a"),        // 1024; a stays live through flat
			node("Relu", "c", "flat"),     // 200, rounded up to 256; then a is freed
			node("Relu", "open", "b"),     // of unknown size
			node("Add", "y", "c", "open"), // outputs do not count
		},
	}
	if got := Peak(g); got != 2048+8192 {
		t.Errorf("%d bytes, want %d", got, 2048+8192)
	}
	g.Node = append(g.Node[:2], g.Node[3:]...)
	if got := Peak(g); got != 2048+1024+256 {
		t.Errorf("%d bytes, want %d", got, 2048+1024+256)
	}
}
