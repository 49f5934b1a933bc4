package onnx

import (
	"reflect"
	"strings"
	"testing"

	"vicreg/models/tensor"
)

func TestTensorRoundTrip(t *testing.T) {
	half := tensor.New(tensor.Float16, 2)
	copy(half.Data.([]uint16), []uint16{0x3c00, 0xffff})
	for _, x := range []*tensor.Tensor{
		tensor.Of([]float32{1, -2, 3e-40, 4, 5, 6}, 2, 3),
		tensor.Of([]float64{1e300}, 1),
		tensor.Of([]int64{-1, 1 << 40}),
		tensor.Of([]int32{-5, 7}, 2, 1),
		tensor.Of([]uint8{0, 255}),
		tensor.Of([]int8{-128, 127}),
		tensor.Of([]bool{true, false, true}, 3),
		half,
		tensor.New(tensor.Float32, 0, 4),
		tensor.New(tensor.Int64),
	} {
		p := TensorOf(x, "x")
		if len(p.RawData) != x.Bytes() {
			t.Errorf("%v%v: %d raw bytes", x.Type, x.Shape, len(p.RawData))
		}
		back, err := TensorFrom(p)
		if err != nil {
			t.Errorf("%v%v: %v", x.Type, x.Shape, err)
			continue
		}
		if back.Type != x.Type || len(back.Shape) != len(x.Shape) || !reflect.DeepEqual(back.Data, x.Data) {
			t.Errorf("%v%v %v came back as %v%v %v", x.Type, x.Shape, x.Data, back.Type, back.Shape, back.Data)
		}
	}
}

// TestTypedFields reads constants from the typed fields that other writers use.
func TestTypedFields(t *testing.T) {
	for _, c := range []struct {
		p    *TensorProto
		want any
	}{
		{&TensorProto{DataType: 1, FloatData: []float32{1, 2}}, []float32{1, 2}},
		{&TensorProto{DataType: 11, DoubleData: []float64{1, 2}}, []float64{1, 2}},
		{&TensorProto{DataType: 7, Int64Data: []int64{1, -2}}, []int64{1, -2}},
		{&TensorProto{DataType: 6, Int32Data: []int32{1, -2}}, []int32{1, -2}},
		{&TensorProto{DataType: 2, Int32Data: []int32{1, 255}}, []uint8{1, 255}},
		{&TensorProto{DataType: 3, Int32Data: []int32{1, -2}}, []int8{1, -2}},
		{&TensorProto{DataType: 9, Int32Data: []int32{1, 0}}, []bool{true, false}},
		{&TensorProto{DataType: 10, Int32Data: []int32{1, 65535}}, []uint16{1, 65535}},
	} {
		c.p.Dims = []int64{2}
		got, err := TensorFrom(c.p)
		if err != nil || !reflect.DeepEqual(got.Data, c.want) {
			t.Errorf("type %d: got %v, %v; want %v", c.p.DataType, got, err, c.want)
		}
	}
}

func TestTensorFromRefuses(t *testing.T) {
	for want, p := range map[string]*TensorProto{
		"0 elements":            {Name: "x", DataType: 1, Dims: []int64{2}},
		"3 bytes":               {Name: "x", DataType: 1, Dims: []int64{1}, RawData: []byte{1, 2, 3}},
		"impossible dimensions": {Name: "x", DataType: 1, Dims: []int64{1 << 40, 1 << 40}},
		"not supported":         {Name: "x", DataType: 8, Dims: []int64{1}},
	} {
		if _, err := TensorFrom(p); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestSpecRoundTrip(t *testing.T) {
	for _, s := range []tensor.Spec{
		{Name: "pixels", Type: tensor.Uint8, Shape: []int{-1, 32, 32, 3}},
		{Name: "loss", Type: tensor.Float32, Shape: []int{1}},
		{Name: "scalar", Type: tensor.Int64, Shape: []int{}},
	} {
		back, err := SpecOf(ValueInfo(s))
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
	}
	v := ValueInfo(tensor.Spec{Name: "x", Type: tensor.Float32, Shape: []int{-1, -2, 5}})
	dims := v.Type.GetTensorType().Shape.Dim
	if a, b := dims[0].GetDimParam(), dims[1].GetDimParam(); a != "N" || b != "N2" {
		t.Errorf("symbolic dimensions are named %q and %q", a, b)
	}
}
