package ort

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// deviceState keeps the state on a device: the two sets of a pairState, memory for the batch, one
// set per turn, and for the scalars, all allocated once. So the graph finds every tensor where it
// was two steps ago, and a step copies the batch in, the scalars out, and nothing else. Source:
// the runtime copies values bound on the other side by itself, but to new memory each time.
type deviceState struct {
	*pairState
	memory  *deviceMemory
	staged  [2][]*block // by turn and input, on the device
	ahead   [2][]*block // the batch that staged already holds for the next run, nil for none
	ran     [2]bool     // turns that have run and so are captured
	copier  *thread     // copies while a step runs; nil before the first time
	results []*block    // the scalars, on the device
	scalars []*block    // and in host memory
	moved   Traffic
}

// aheadBytes is the minimum size of an input to be copied ahead: smaller ones, such as the
// learning rate, are known only when their step runs.
const aheadBytes = 4096

// Traffic counts the bytes copied between the host and a device.
type Traffic struct{ ToDevice, FromDevice int64 }

func newDeviceState(s *Session, d Device, vars []tensor.Spec, cfg StepperConfig, e ends) (h *deviceState, err error) {
	h = &deviceState{scalars: e.scalars}
	defer func() {
		if err != nil {
			h.close()
			h = nil
		}
	}()
	if h.memory, err = newDeviceMemory(s, d); err != nil {
		return h, err
	}
	for i := range h.staged {
		if h.staged[i], err = newBlocks(e.inputs, h.memory.newBlock); err != nil {
			return h, err
		}
	}
	if h.results, err = newBlocks(e.outputs, h.memory.newBlock); err != nil {
		return h, err
	}
	e.scalars = h.results
	if h.pairState, err = newPairState(s, vars, cfg.State, e, h.memory.newBlock); err == nil {
		h.memory.reserve(cfg.Reserve)
	}
	return h, err
}

func (h *deviceState) newHostBlock(spec tensor.Spec) (*block, error) {
	return h.memory.newHostBlock(spec)
}

func (h *deviceState) run(inputs, next []*block) error {
	now := h.current
	from, to := inputs, h.staged[now]
	if slices.Equal(h.ahead[now], inputs) {
		from, to = those(from, to, small)
	}
	h.ahead = [2][]*block{} // a batch copied ahead but not run now may be refilled before the next run
	if err := h.memory.copy(from, to); err != nil {
		return fmt.Errorf("batch to the device: %w", err)
	}
	h.moved.ToDevice += bytesOf(from)
	wait := h.copyAhead(next)
	err := h.pairState.run(h.staged[now], nil)
	wait()
	if err != nil {
		return err
	}
	h.ran[now] = true
	if err := h.memory.copy(h.results, h.scalars); err != nil {
		return fmt.Errorf("scalars from the device: %w", err)
	}
	h.moved.FromDevice += bytesOf(h.results)
	return nil
}

// copyAhead starts copying the batch of the other turn and returns a function that waits for it.
// It does nothing until both turns have been captured, since device calls from another thread
// break a capture. If the copy fails, the batch is copied when its step runs, and the error is
// reported then.
func (h *deviceState) copyAhead(next []*block) (wait func()) {
	if next == nil || !h.ran[0] || !h.ran[1] {
		return func() {}
	}
	turn := 1 - h.current
	from, to := those(next, h.staged[turn], large)
	if h.copier == nil && h.memory.thread != nil {
		h.copier = newThread()
		h.copier.do(h.memory.useDevice)
	}
	done := make(chan error, 1)
	go func() { done <- h.memory.copyOn(h.copier, from, to) }()
	return func() {
		if <-done == nil {
			h.ahead[turn] = slices.Clone(next)
			h.moved.ToDevice += bytesOf(from)
		}
	}
}

func small(b *block) bool { return b.Bytes() < aheadBytes }
func large(b *block) bool { return !small(b) }

// those keeps the pairs of blocks whose first block satisfies want.
func those(from, to []*block, want func(*block) bool) (f, t []*block) {
	for i, b := range from {
		if want(b) {
			f, t = append(f, b), append(t, to[i])
		}
	}
	return f, t
}

func (h *deviceState) read() (map[string]*tensor.Tensor, error) {
	state := make(map[string]*tensor.Tensor, len(h.vars))
	tensors := make([]*tensor.Tensor, len(h.vars))
	for i, v := range h.vars {
		tensors[i] = tensor.New(v.Type, v.Shape...)
		state[v.Name] = tensors[i]
	}
	from := h.sets[h.current]
	if err := lend(tensors, func(to []*block) error { return h.memory.copy(from, to) }); err != nil {
		return nil, fmt.Errorf("state from the device: %w", err)
	}
	h.moved.FromDevice += bytesOf(from)
	return state, nil
}

func (h *deviceState) each(f func(string, *tensor.Tensor)) error {
	for i, v := range h.vars {
		t, from := tensor.New(v.Type, v.Shape...), h.sets[h.current][i:i+1]
		if err := lend([]*tensor.Tensor{t}, func(to []*block) error { return h.memory.copy(from, to) }); err != nil {
			return fmt.Errorf("state %q from the device: %w", v.Name, err)
		}
		h.moved.FromDevice += bytesOf(from)
		f(v.Name, t)
	}
	return nil
}

func (h *deviceState) write(state map[string]*tensor.Tensor) error {
	tensors := make([]*tensor.Tensor, len(h.vars))
	for i, v := range h.vars {
		tensors[i] = state[v.Name]
	}
	to := h.sets[h.current]
	if err := lend(tensors, func(from []*block) error { return h.memory.copy(from, to) }); err != nil {
		return fmt.Errorf("state to the device: %w", err)
	}
	h.moved.ToDevice += bytesOf(to)
	return nil
}

func (h *deviceState) traffic() Traffic { return h.moved }

func (h *deviceState) taken() (int64, error) { return h.memory.taken() }

// close frees what has been allocated, which after a failed start is not everything.
func (h *deviceState) close() {
	if h.pairState != nil {
		h.pairState.close()
	}
	for _, set := range h.staged {
		freeBlocks(set)
	}
	h.copier.stop()
	freeBlocks(h.results)
	if h.memory != nil {
		h.memory.close()
	}
}
