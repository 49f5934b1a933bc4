package ort

/*
#include <stdlib.h>
#include <string.h>
*/
import "C"

import (
	"fmt"
	"reflect"
	"unsafe"

	"vicreg/models/tensor"
)

// alignment is a cache line, and the widest vector the runtime's kernels load.
const alignment = 64

// block is a tensor in memory of the C heap with a runtime value over it. It never moves, so it
// may stay bound for as long as it lives, and Go's collector does not count it: weights in Go's
// heap would let as many bytes of garbage pile up before the next collection.
//
// On a device, and in pinned memory, the value owns the memory. Data is nil where
// the host cannot read it.
type block struct {
	tensor.Tensor
	memory   unsafe.Pointer
	value    handle
	borrowed bool // the value owns the memory
}

// newBlock allocates a zeroed block for a spec without symbolic dimensions.
func newBlock(spec tensor.Spec) (*block, error) {
	for _, d := range spec.Shape {
		if d < 0 {
			return nil, fmt.Errorf("%q: %v has a symbolic dimension", spec.Name, spec.Shape)
		}
	}
	if spec.Type.Size() == 0 {
		return nil, fmt.Errorf("%q: element type %v is not supported", spec.Name, spec.Type)
	}
	bytes := C.size_t(max(spec.Elements()*spec.Type.Size(), alignment))
	b := new(block)
	if C.posix_memalign(&b.memory, alignment, bytes) != 0 {
		return nil, fmt.Errorf("%q: no memory for %d bytes", spec.Name, bytes)
	}
	C.memset(b.memory, 0, bytes)
	v, err := newValue(spec, b.memory)
	if err != nil {
		C.free(b.memory)
		return nil, err
	}
	b.value = v
	b.Tensor = tensor.Tensor{Type: spec.Type, Shape: spec.Shape, Data: sliceOver(spec, b.memory)}
	return b, nil
}

// free releases the block; its tensor must not be used any more.
func (b *block) free() {
	if b.memory != nil {
		releaseValue(b.value)
		if !b.borrowed {
			C.free(b.memory)
		}
		*b = block{}
	}
}

// sliceOver returns a Go slice of a spec's type and size over memory.
func sliceOver(spec tensor.Spec, memory unsafe.Pointer) any {
	n := spec.Elements()
	switch spec.Type {
	case tensor.Float32:
		return unsafe.Slice((*float32)(memory), n)
	case tensor.Float64:
		return unsafe.Slice((*float64)(memory), n)
	case tensor.Int64:
		return unsafe.Slice((*int64)(memory), n)
	case tensor.Int32:
		return unsafe.Slice((*int32)(memory), n)
	case tensor.Uint8:
		return unsafe.Slice((*uint8)(memory), n)
	case tensor.Int8:
		return unsafe.Slice((*int8)(memory), n)
	case tensor.Bool:
		return unsafe.Slice((*bool)(memory), n)
	}
	return unsafe.Slice((*uint16)(memory), n)
}

// dataOf returns the memory of a tensor's slice after checking that the slice has the tensor's
// type and length.
func dataOf(t *tensor.Tensor) (unsafe.Pointer, error) {
	if t.Type.Size() == 0 {
		return nil, fmt.Errorf("element type %v is not supported", t.Type)
	}
	want := reflect.TypeOf(sliceOver(tensor.Spec{Type: t.Type, Shape: []int{0}}, nil))
	v := reflect.ValueOf(t.Data)
	if !v.IsValid() || v.Type() != want || v.Len() != t.Len() {
		return nil, fmt.Errorf("%T does not hold %v%v", t.Data, t.Type, t.Shape)
	}
	return v.UnsafePointer(), nil
}
