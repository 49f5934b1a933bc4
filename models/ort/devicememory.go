package ort

/*
#include <stdlib.h>
#include "device.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"vicreg/models/tensor"
)

// Kinds of memory, as OrtMemType numbers them.
const (
	ownMemory  = 0  // of the device
	hostMemory = -1 // of the host, accessible to the device
)

// deviceMemory allocates tensors on a session's device and in pinned host memory, from which
// copies to the device are fastest. The allocators live as long as the deviceMemory; blocks must
// be freed before it is closed.
type deviceMemory struct {
	device Device
	thread *thread // the session's, on which the device is current
	own    handle
	pinned handle // nil where ordinary host memory will do
}

// newDeviceMemory finds the allocators of a session on a device. For the host itself, which tests
// use in place of a device, the session's allocator serves as the device's.
func newDeviceMemory(s *Session, d Device) (*deviceMemory, error) {
	m := &deviceMemory{device: d, thread: s.thread}
	var err error
	if d.Kind == tensor.Host {
		m.own, err = allocator(s.session, "Cpu", d.Index, ownMemory)
		return m, err
	}
	if m.own, err = allocator(s.session, "Cuda", d.Index, ownMemory); err == nil {
		m.pinned, err = allocator(s.session, "CudaPinned", d.Index, hostMemory)
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("memory of device %v: %w", d, err)
	}
	return m, nil
}

func allocator(session handle, name string, index, kind int) (a handle, err error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	err = failure(C.vr_allocator(session, n, C.int(index), C.int(kind), &a))
	return a, err
}

// newBlock allocates a block on the device, with undefined contents.
func (m *deviceMemory) newBlock(spec tensor.Spec) (*block, error) { return m.take(m.own, spec) }

// reserve makes the session's arena allocate this many bytes in one piece, which it keeps. If
// they are not available, the arena grows on demand, and the step reports what is missing.
func (m *deviceMemory) reserve(bytes int64) {
	if bytes <= 0 {
		return
	}
	if b, err := m.newBlock(tensor.Spec{Name: "reserve", Type: tensor.Uint8, Shape: []int{int(bytes)}}); err == nil {
		b.free()
	}
}

// newHostBlock allocates a zeroed block in the host's memory.
func (m *deviceMemory) newHostBlock(spec tensor.Spec) (*block, error) {
	if m.pinned == nil {
		return newBlock(spec)
	}
	b, err := m.take(m.pinned, spec)
	if err != nil {
		return nil, err
	}
	b.Data = sliceOver(spec, b.memory)
	clear(unsafe.Slice((*byte)(b.memory), b.Bytes()))
	return b, nil
}

// take makes a block whose memory the runtime owns.
func (m *deviceMemory) take(from handle, spec tensor.Spec) (*block, error) {
	shape, err := shapeOf(spec)
	if err != nil {
		return nil, err
	}
	var value, memory handle
	m.thread.do(func() { err = failure(C.vr_allocate(from, &shape, &value, &memory)) })
	if err != nil {
		return nil, fmt.Errorf("%q: %w", spec.Name, err)
	}
	t := tensor.Tensor{Type: spec.Type, Shape: spec.Shape}
	return &block{Tensor: t, memory: memory, value: value, borrowed: true}, nil
}

// copy copies blocks, each to one of the same type and size, from the host to the device or back.
func (m *deviceMemory) copy(from, to []*block) error { return m.copyOn(m.thread, from, to) }

// copyOn is copy on a given thread, other than the session's while that is busy.
func (m *deviceMemory) copyOn(on *thread, from, to []*block) (err error) {
	if m.device.Kind == tensor.Host { // the runtime has no copy for it
		for i, b := range from {
			bytes := func(b *block) []byte { return unsafe.Slice((*byte)(b.memory), b.Bytes()) }
			copy(bytes(to[i]), bytes(b))
		}
		return nil
	}
	if len(from) == 0 {
		return nil
	}
	values := func(blocks []*block) []handle {
		all := make([]handle, len(blocks))
		for i, b := range blocks {
			all[i] = b.value
		}
		return all
	}
	src, dst := values(from), values(to)
	on.do(func() {
		err = failure(C.vr_copy(unsafe.SliceData(src), unsafe.SliceData(dst), C.size_t(len(from))))
	})
	return err
}

// useDevice makes the device current on the calling thread, where it is the first one by default.
// If that fails, so do copies from that thread.
func (m *deviceMemory) useDevice() {
	if m.device.Kind != tensor.Host {
		_ = failure(C.vr_use_device(C.int(m.device.Index)))
	}
}

// lend runs f on blocks over the memory of host tensors, which is pinned meanwhile.
func lend(tensors []*tensor.Tensor, f func([]*block) error) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	blocks := make([]*block, 0, len(tensors))
	defer func() {
		for _, b := range blocks {
			releaseValue(b.value)
		}
	}()
	for _, t := range tensors {
		data, err := dataOf(t)
		if err != nil {
			return err
		}
		if data != nil {
			pin.Pin(data)
		}
		v, err := newValue(tensor.Spec{Type: t.Type, Shape: t.Shape}, data)
		if err != nil {
			return err
		}
		blocks = append(blocks, &block{Tensor: *t, memory: data, value: v})
	}
	return f(blocks)
}

// taken returns how much of the device's memory the session holds, in bytes.
func (m *deviceMemory) taken() (int64, error) { return stat(m.own, "TotalAllocated") }

// stat reads one of an allocator's statistics.
func stat(allocator handle, name string) (int64, error) {
	key := C.CString(name)
	defer C.free(unsafe.Pointer(key))
	var n C.int64_t
	err := failure(C.vr_allocator_stat(allocator, key, &n))
	return int64(n), err
}

func (m *deviceMemory) close() {
	for _, a := range []*handle{&m.own, &m.pinned} {
		if *a != nil {
			C.vr_release_allocator(*a)
			*a = nil
		}
	}
}

// bytesOf adds up the sizes of blocks.
func bytesOf(blocks []*block) (n int64) {
	for _, b := range blocks {
		n += int64(b.Bytes())
	}
	return n
}
