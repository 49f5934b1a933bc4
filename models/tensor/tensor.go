// Package tensor holds the host tensor shared by every layer above: a data type, a shape and a Go
// slice. It depends on neither graphs nor runtimes.
package tensor

import "fmt"

// DType is an element type. Its values are those of ONNX TensorProto.DataType, so that the two need
// no translation.
type DType int32

// The element types the project uses.
const (
	Invalid  DType = 0
	Float32  DType = 1
	Uint8    DType = 2
	Int8     DType = 3
	Int32    DType = 6
	Int64    DType = 7
	Bool     DType = 9
	Float16  DType = 10
	Float64  DType = 11
	BFloat16 DType = 16
)

var dtypes = map[DType]struct {
	name string
	size int
}{
	Float32: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Int32: {"int32", 4},
	Int64: {"int64", 8}, Bool: {"bool", 1}, Float16: {"float16", 2}, Float64: {"float64", 8},
	BFloat16: {"bfloat16", 2},
}

// Size is the number of bytes of one element; 0 for an unknown type.
func (d DType) Size() int { return dtypes[d].size }

// Half reports whether elements are 16-bit floating-point numbers.
func (d DType) Half() bool { return d == Float16 || d == BFloat16 }

func (d DType) String() string {
	if t, ok := dtypes[d]; ok {
		return t.name
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// Layout says how the elements of a tensor of logical shape [N, C, H, W] lie in
// memory.
type Layout uint8

const (
	// Plain is row-major in the order of the shape.
	Plain Layout = iota
	// NCHWc keeps blocks of channels innermost: [N, C/b, H, W, b].
	NCHWc
	// NHWC keeps all channels innermost: [N, H, W, C].
	NHWC
)

func (l Layout) String() string { return [...]string{"plain", "nchwc", "nhwc"}[l] }

// Device is the class of memory a tensor lives in.
type Device uint8

const (
	// Host is memory that Go can read.
	Host Device = iota
	// CUDA is device memory, reachable only through the runtime.
	CUDA
)

func (d Device) String() string { return [...]string{"cpu", "cuda"}[d] }

// Spec describes a tensor without its data: an input or output of a graph. A negative dimension is
// symbolic (the batch of an exported model).
type Spec struct {
	Name   string
	Type   DType
	Shape  []int
	Layout Layout
	Device Device
}

// Elements is the product of the dimensions; 1 for a scalar.
func (s Spec) Elements() int { return Elements(s.Shape) }

// Elements is the product of the dimensions; 1 for a scalar.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Tensor is a host tensor, row-major. Data is one of []float32, []float64, []int64, []int32,
// []uint8, []int8, []bool, or []uint16 for the bits of Float16 and BFloat16; its length is the
// product of Shape. A Tensor has no lock: it allows one writer or many readers at a time.
type Tensor struct {
	Type  DType
	Shape []int
	Data  any
}

// Batch holds the inputs of a step: tensors by the name of the graph input.
type Batch map[string]*Tensor

// New returns a zeroed tensor. It panics on an unknown type.
func New(t DType, shape ...int) *Tensor {
	n := Elements(shape)
	x := &Tensor{Type: t, Shape: shape}
	switch t {
	case Float32:
		x.Data = make([]float32, n)
	case Float64:
		x.Data = make([]float64, n)
	case Int64:
		x.Data = make([]int64, n)
	case Int32:
		x.Data = make([]int32, n)
	case Uint8:
		x.Data = make([]uint8, n)
	case Int8:
		x.Data = make([]int8, n)
	case Bool:
		x.Data = make([]bool, n)
	case Float16, BFloat16:
		x.Data = make([]uint16, n)
	default:
		panic("tensor: new of " + t.String())
	}
	return x
}

// Of wraps a slice, without a copy. It panics when the length does not fit the
// shape; with no shape given the tensor is one-dimensional.
func Of[T float32 | float64 | int64 | int32 | uint8 | int8 | bool](data []T, shape ...int) *Tensor {
	if len(shape) == 0 {
		shape = []int{len(data)}
	}
	if Elements(shape) != len(data) {
		panic(fmt.Sprintf("tensor: %d elements do not fill shape %v", len(data), shape))
	}
	var t DType
	switch any(data).(type) {
	case []float32:
		t = Float32
	case []float64:
		t = Float64
	case []int64:
		t = Int64
	case []int32:
		t = Int32
	case []uint8:
		t = Uint8
	case []int8:
		t = Int8
	case []bool:
		t = Bool
	}
	return &Tensor{Type: t, Shape: shape, Data: data}
}

// Len is the number of elements.
func (t *Tensor) Len() int { return Elements(t.Shape) }

// Bytes is the size of the data in bytes.
func (t *Tensor) Bytes() int { return t.Len() * t.Type.Size() }

// Float32 returns the data of a Float32 tensor, shared and not copied. It panics
// on any other type.
func (t *Tensor) Float32() []float32 { return t.Data.([]float32) }

// Clone returns a deep copy.
func (t *Tensor) Clone() *Tensor {
	c := New(t.Type, append([]int(nil), t.Shape...)...)
	if err := c.CopyFrom(t); err != nil {
		panic(err)
	}
	return c
}

// CopyFrom copies the elements of src, which must have the same type and number
// of elements.
func (t *Tensor) CopyFrom(src *Tensor) error {
	if t.Type != src.Type || t.Len() != src.Len() {
		return fmt.Errorf("cannot copy %v%v into %v%v", src.Type, src.Shape, t.Type, t.Shape)
	}
	switch d := t.Data.(type) {
	case []float32:
		copy(d, src.Data.([]float32))
	case []float64:
		copy(d, src.Data.([]float64))
	case []int64:
		copy(d, src.Data.([]int64))
	case []int32:
		copy(d, src.Data.([]int32))
	case []uint8:
		copy(d, src.Data.([]uint8))
	case []int8:
		copy(d, src.Data.([]int8))
	case []bool:
		copy(d, src.Data.([]bool))
	case []uint16:
		copy(d, src.Data.([]uint16))
	}
	return nil
}
