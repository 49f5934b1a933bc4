package ort

import (
	"fmt"
	"slices"
	"sync"

	"vicreg/models/tensor"
)

// Buffer is a tensor in host memory for data that a session reads repeatedly.
type Buffer struct {
	*tensor.Tensor // nil once the buffer is closed
	from           *buffers
	block          *block // nil if the memory is Go's
}

// NewBuffer returns a zeroed tensor in pinned host memory, from which the session's device copies
// fastest: it reads the pages directly, whereas Go's memory goes through pinned pages that a
// processor has to fill. Any part of the tensor may be passed to Run, in a tensor of any shape,
// and be written to again once Run has returned. The buffer lives until it or the session is
// closed, and must not be used after that. NewBuffer may be called concurrently with itself and
// with Run.
//
// On the host it returns an ordinary tensor.
func (s *Session) NewBuffer(t tensor.DType, shape ...int) (*Buffer, error) {
	if s.session == nil {
		return nil, fmt.Errorf("new buffer: %w", errClosed)
	}
	if s.device.Kind == tensor.Host {
		return &Buffer{Tensor: tensor.New(t, shape...)}, nil
	}
	b, err := s.buffers.add(s, tensor.Spec{Type: t, Shape: slices.Clone(shape)})
	if err != nil {
		return nil, fmt.Errorf("new buffer: %w", err)
	}
	return b, nil
}

// Close frees the memory. It may be called again.
func (b *Buffer) Close() {
	if b.from != nil {
		b.from.mu.Lock()
		defer b.from.mu.Unlock()
		delete(b.from.open, b)
	}
	b.free()
}

func (b *Buffer) free() {
	if b.block != nil {
		b.block.free()
	}
	*b = Buffer{}
}

// buffers are the buffers that a session on a device has handed out.
//
// Source: the memory comes from the runtime's pinned allocator, but Run binds values over it that
// are not marked as pinned. The runtime (1.30) passes pinned memory to the kernels as it is, and
// each that reads it does so over the bus, a few elements at a time; ordinary memory is copied to
// the device first, at the speed of the bus.
type buffers struct {
	mu     sync.Mutex
	memory *deviceMemory // nil before the first buffer
	open   map[*Buffer]struct{}
}

func (bs *buffers) add(s *Session, spec tensor.Spec) (*Buffer, error) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.memory == nil {
		m, err := newDeviceMemory(s, s.device)
		if err != nil {
			return nil, err
		}
		bs.memory, bs.open = m, map[*Buffer]struct{}{}
	}
	memory, err := bs.memory.newHostBlock(spec)
	if err != nil {
		return nil, err
	}
	b := &Buffer{Tensor: &memory.Tensor, from: bs, block: memory}
	bs.open[b] = struct{}{}
	return b, nil
}

// close frees the buffers that are still open.
func (bs *buffers) close() {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for b := range bs.open {
		b.free()
	}
	bs.open = nil
	if bs.memory != nil {
		bs.memory.close()
		bs.memory = nil
	}
}
