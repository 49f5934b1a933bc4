package onnx

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"vicreg/models/tensor"
)

// small is y = Clip(x*w) summed over its last axis, with an optional input left out and every kind
// of attribute that the builder writes.
func small() *ModelProto {
	f32 := func(name string, shape ...int) *ValueInfoProto {
		return ValueInfo(tensor.Spec{Name: name, Type: tensor.Float32, Shape: shape})
	}
	m := &ModelProto{
		IrVersion:    8,
		ProducerName: "vicreg",
		OpsetImport:  []*OperatorSetIdProto{{Version: 18}},
		Graph: &GraphProto{
			Name:   "small",
			Input:  []*ValueInfoProto{f32("x", -1, 3)},
			Output: []*ValueInfoProto{f32("y", -1, 1)},
			Initializer: []*TensorProto{
				TensorOf(tensor.Of([]float32{1, -2, 0.5}), "w"),
				TensorOf(&tensor.Tensor{Type: tensor.Float32, Data: []float32{1}}, "max"),
				TensorOf(tensor.Of([]int64{1}), "axes"),
			},
			ValueInfo: []*ValueInfoProto{f32("xw", -1, 3), f32("clipped", -1, 3)},
			Node: []*NodeProto{
				{Name: "mul", OpType: "Mul", Input: []string{"x", "w"}, Output: []string{"xw"}},
				{Name: "clip", OpType: "Clip", Input: []string{"xw", "", "max"}, Output: []string{"clipped"}},
				{Name: "sum", OpType: "ReduceSum", Input: []string{"clipped", "axes"}, Output: []string{"y"},
					Attribute: []*AttributeProto{Int("keepdims", 1), Int("noop_with_empty_axes", 0)}},
			},
		},
	}
	SetMetadata(m, "vicreg.mean", "0.5")
	SetMetadata(m, "vicreg.dim", "1")
	return m
}

func TestRoundTrip(t *testing.T) {
	m := small()
	b, err := Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(m, back) {
		t.Errorf("came back as %v", back)
	}
	again, err := Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, again) {
		t.Error("written twice, the bytes differ")
	}
}

// TestBytes pins the bytes of a model, on which fingerprints and resumed runs depend, against
// changes of the format or of the library.
func TestBytes(t *testing.T) {
	b, err := Marshal(small())
	if err != nil {
		t.Fatal(err)
	}
	// VICREG_WRITE_ONNX=FILE writes the model, for inspection with another reader.
	if file := os.Getenv("VICREG_WRITE_ONNX"); file != "" {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const want = "66132ef84c6360b863510408ad2d33d23f7ae811b90516b37d63fae0a8f7a5c3"
	if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
		t.Errorf("sha256 of the small model is %s, was %s", got, want)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("not a model"), "cut": {0x3a, 0x7f}} {
		if _, err := Unmarshal(b); err == nil || !strings.Contains(err.Error(), "read onnx model") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestUnknownFieldsSurvive(t *testing.T) {
	// Field 25 (configuration) is not in onnx.proto here.
	b, _ := Marshal(small())
	b = append(b, 0xca, 0x01, 0x01, 'x')
	m, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Marshal(m); !bytes.Equal(again, b) {
		t.Error("an unknown field was lost")
	}
}

func TestMetadata(t *testing.T) {
	a, b := new(ModelProto), new(ModelProto)
	SetMetadata(a, "k", "old")
	SetMetadata(a, "a", "1")
	SetMetadata(a, "k", "2")
	SetMetadata(b, "k", "2")
	SetMetadata(b, "a", "1")
	if !proto.Equal(a, b) {
		t.Errorf("the order of the calls shows: %v and %v", a, b)
	}
	if kv := Metadata(a); len(kv) != 2 || kv["a"] != "1" || kv["k"] != "2" {
		t.Errorf("metadata %v", kv)
	}
}

func TestOpset(t *testing.T) {
	if v, none := Opset(small(), ""), Opset(small(), "com.microsoft"); v != 18 || none != 0 {
		t.Errorf("opsets %d and %d, want 18 and 0", v, none)
	}
}
