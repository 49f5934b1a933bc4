package ort

/*
#cgo CFLAGS: -O2 -Wall -fexceptions
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include <string.h>
#include "shim.h"
*/
import "C"

// -fexceptions: exceptions of the runtime, which is in C++, may propagate through functions that
// it calls back; see opmemory.c.

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"vicreg/models/tensor"
)

// handle is a pointer to an object of the C library.
type handle = unsafe.Pointer

// failure turns a message of the shim into a one-line error and frees it.
func failure(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New(oneLine(C.GoString(message)))
}

// oneLine folds the runtime's multi-line messages into one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// libraryVersion loads the library at path, asks for its version and unloads it.
func libraryVersion(path string) (string, error) {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var version [32]C.char
	if err := failure(C.vr_version(p, &version[0], C.size_t(len(version)))); err != nil {
		return "", err
	}
	return C.GoString(&version[0]), nil
}

func attach(path string) error {
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	return failure(C.vr_attach(p))
}

func providers() ([]string, error) {
	var names **C.char
	var n C.int
	if err := failure(C.vr_providers(&names, &n)); err != nil {
		return nil, err
	}
	defer C.vr_release_providers(names, n)
	var all []string
	for _, name := range unsafe.Slice(names, int(n)) {
		all = append(all, C.GoString(name))
	}
	return all, nil
}

// describe lists the inputs or the outputs of a session.
func describe(session handle, output bool) ([]tensor.Spec, error) {
	side := C.int(0)
	if output {
		side = 1
	}
	var n C.size_t
	if err := failure(C.vr_count(session, side, &n)); err != nil {
		return nil, err
	}
	specs := make([]tensor.Spec, n)
	for i := range specs {
		var name *C.char
		var shape C.vr_shape
		err := failure(C.vr_describe(session, side, C.size_t(i), &name, &shape))
		specs[i] = specOf(C.GoString(name), &shape)
		C.free(unsafe.Pointer(name))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", specs[i].Name, err)
		}
	}
	return specs, nil
}

func specOf(name string, s *C.vr_shape) tensor.Spec {
	spec := tensor.Spec{Name: name, Type: tensor.DType(s._type), Shape: make([]int, s.rank)}
	for i := range spec.Shape {
		spec.Shape[i] = int(s.dims[i])
	}
	return spec
}

// newValue makes a value over memory that the caller must keep alive and in place until the value
// is released.
func newValue(spec tensor.Spec, data unsafe.Pointer) (handle, error) {
	shape, err := shapeOf(spec)
	if err != nil {
		return nil, err
	}
	var value handle
	bytes := C.size_t(spec.Elements() * spec.Type.Size())
	if err := failure(C.vr_tensor(data, bytes, &shape, &value)); err != nil {
		return nil, fmt.Errorf("%q: %w", spec.Name, err)
	}
	return value, nil
}

func shapeOf(spec tensor.Spec) (C.vr_shape, error) {
	if len(spec.Shape) > C.VR_MAX_RANK {
		return C.vr_shape{}, fmt.Errorf("%q: more than %d dimensions", spec.Name, C.VR_MAX_RANK)
	}
	shape := C.vr_shape{_type: C.int(spec.Type), rank: C.size_t(len(spec.Shape))}
	for i, d := range spec.Shape {
		shape.dims[i] = C.int64_t(d)
	}
	return shape, nil
}

func releaseValue(v handle) { C.vr_release_value(v) }

// copyOut copies a value owned by the runtime into a new tensor.
func copyOut(value handle) (*tensor.Tensor, error) {
	var shape C.vr_shape
	var data unsafe.Pointer
	if err := failure(C.vr_look(value, &shape, &data)); err != nil {
		return nil, err
	}
	spec := specOf("", &shape)
	if spec.Type.Size() == 0 {
		return nil, fmt.Errorf("element type %v is not supported", spec.Type)
	}
	t := tensor.New(spec.Type, spec.Shape...)
	if t.Len() == 0 {
		return t, nil
	}
	return t, t.CopyFrom(&tensor.Tensor{Type: spec.Type, Shape: spec.Shape, Data: sliceOver(spec, data)})
}

// binding binds names of a session to values for its next runs.
type binding struct {
	b handle
}

func newBinding(session handle) (binding, error) {
	var b binding
	err := failure(C.vr_binding(session, &b.b))
	return b, err
}

func (b binding) input(name *C.char, v handle) error {
	return failure(C.vr_bind_input(b.b, name, v))
}

func (b binding) output(name *C.char, v handle) error {
	return failure(C.vr_bind_output(b.b, name, v))
}

// outputAnywhere lets the runtime allocate an output.
func (b binding) outputAnywhere(name *C.char) error {
	return failure(C.vr_bind_output_anywhere(b.b, name))
}

// outputs returns the n outputs of the last run in the order they were bound.
// The caller releases them.
func (b binding) outputs(n int) ([]handle, error) {
	values := make([]handle, n)
	err := failure(C.vr_bound_outputs(b.b, unsafe.SliceData(values), C.size_t(n)))
	return values, err
}

func (b *binding) release() {
	if b.b != nil {
		C.vr_release_binding(b.b)
		b.b = nil
	}
}

// run runs a session once. options may be nil.
func run(session, options handle, b binding) error {
	return failure(C.vr_run(session, options, b.b))
}
