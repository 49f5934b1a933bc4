package onnx

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"vicreg/models/tensor"
)

// TensorOf returns a copy of a tensor under a name, its elements as raw little-endian bytes. It
// panics if the data does not match type and shape.
func TensorOf(t *tensor.Tensor, name string) *TensorProto {
	raw, err := binary.Append(make([]byte, 0, t.Bytes()), binary.LittleEndian, t.Data)
	if err != nil || len(raw) != t.Bytes() {
		panic(fmt.Sprintf("onnx: tensor %q: %T does not hold %v%v", name, t.Data, t.Type, t.Shape))
	}
	p := &TensorProto{Name: name, DataType: int32(t.Type), RawData: raw}
	for _, d := range t.Shape {
		p.Dims = append(p.Dims, int64(d))
	}
	return p
}

// TensorFrom returns a copy of a constant as a host tensor, from whichever field holds its
// elements. External data and types that the project does not use are errors.
func TensorFrom(p *TensorProto) (*tensor.Tensor, error) {
	n, err := elements(p)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(p.Dims))
	for i, d := range p.Dims {
		shape[i] = int(d)
	}
	t := tensor.New(tensor.DType(p.DataType), shape...)
	if n == 0 {
		return t, nil
	}
	if len(p.RawData) > 0 {
		if _, err := binary.Decode(p.RawData, binary.LittleEndian, t.Data); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", p.Name, err)
		}
		return t, nil
	}
	switch d := t.Data.(type) {
	case []float32:
		copy(d, p.FloatData)
	case []float64:
		copy(d, p.DoubleData)
	case []int64:
		copy(d, p.Int64Data)
	case []int32:
		copy(d, p.Int32Data)
	case []uint8:
		narrow(d, p.Int32Data)
	case []int8:
		narrow(d, p.Int32Data)
	case []uint16:
		narrow(d, p.Int32Data)
	case []bool:
		for i, v := range p.Int32Data {
			d[i] = v != 0
		}
	}
	return t, nil
}

// narrow copies elements of a small type from int32_data, where the format keeps them.
func narrow[T uint8 | int8 | uint16](dst []T, src []int32) {
	for i, v := range src {
		dst[i] = T(v)
	}
}

// elements returns the number of elements of a constant, and an error unless its data matches its
// dimensions.
func elements(p *TensorProto) (int, error) {
	t := tensor.DType(p.DataType)
	if t.Size() == 0 {
		return 0, fmt.Errorf("tensor %q: element type %v is not supported", p.Name, t)
	}
	if p.DataLocation == TensorProto_EXTERNAL {
		return 0, fmt.Errorf("tensor %q: its data is in another file, which is not supported", p.Name)
	}
	n := int64(1)
	for _, d := range p.Dims {
		if d < 0 || d > 0 && n > maxBytes/d {
			return 0, fmt.Errorf("tensor %q: impossible dimensions %v", p.Name, p.Dims)
		}
		n *= d
	}
	have := typedLen(p, t)
	if len(p.RawData) > 0 {
		if have != 0 || int64(len(p.RawData)) != n*int64(t.Size()) {
			return 0, fmt.Errorf("tensor %q: %d bytes and %d typed elements for %v%v", p.Name, len(p.RawData), have, t, p.Dims)
		}
		return int(n), nil
	}
	if int64(have) != n {
		return 0, fmt.Errorf("tensor %q: %d elements for %v%v", p.Name, have, t, p.Dims)
	}
	return int(n), nil
}

// typedLen is the number of elements in the typed field that belongs to t.
func typedLen(p *TensorProto, t tensor.DType) int {
	switch t {
	case tensor.Float32:
		return len(p.FloatData)
	case tensor.Float64:
		return len(p.DoubleData)
	case tensor.Int64:
		return len(p.Int64Data)
	}
	return len(p.Int32Data)
}

// ValueInfo describes a tensor of a graph. Negative dimensions become symbolic:
// -1 is "N", the batch; -2 is "N2", and so on.
func ValueInfo(s tensor.Spec) *ValueInfoProto {
	shape := new(TensorShapeProto)
	for _, d := range s.Shape {
		dim := &TensorShapeProto_Dimension{Value: &TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}}
		switch {
		case d == -1:
			dim.Value = &TensorShapeProto_Dimension_DimParam{DimParam: "N"}
		case d < 0:
			dim.Value = &TensorShapeProto_Dimension_DimParam{DimParam: "N" + strconv.Itoa(-d)}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	of := &TypeProto_Tensor{ElemType: int32(s.Type), Shape: shape}
	return &ValueInfoProto{Name: s.Name, Type: &TypeProto{Value: &TypeProto_TensorType{TensorType: of}}}
}

// SpecOf is the inverse of ValueInfo. Every symbolic or unknown dimension comes
// back as -1. Values that are not tensors, and tensors of unknown rank, are
// errors.
func SpecOf(v *ValueInfoProto) (tensor.Spec, error) {
	t := v.GetType().GetTensorType()
	if t == nil || t.ElemType == 0 {
		return tensor.Spec{}, fmt.Errorf("value %q: no tensor type", v.GetName())
	}
	if t.Shape == nil {
		return tensor.Spec{}, fmt.Errorf("value %q: no shape", v.GetName())
	}
	s := tensor.Spec{Name: v.Name, Type: tensor.DType(t.ElemType), Shape: []int{}}
	for _, d := range t.Shape.Dim {
		if v, ok := d.Value.(*TensorShapeProto_Dimension_DimValue); ok && v.DimValue >= 0 {
			s.Shape = append(s.Shape, int(v.DimValue))
			continue
		}
		s.Shape = append(s.Shape, -1)
	}
	return s, nil
}
