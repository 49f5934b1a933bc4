package ort

import (
	"fmt"

	"vicreg/models/tensor"
)

// deviceState keeps the state on a device: the two sets of a pairState, and beside
// them memory for the batch and for the scalars, all allocated once. So the graph
// finds everything where it was two steps ago, and a step moves the batch in, the
// scalars out, and nothing else. Source: the runtime copies what is bound on the
// other side by itself, but to new memory each time.
type deviceState struct {
	*pairState
	memory  *deviceMemory
	staged  []*block // by input, on the device
	results []*block // the scalars, on the device
	scalars []*block // and in the host's memory
	moved   Traffic
}

// Traffic counts bytes that were copied between the host and a device.
type Traffic struct{ ToDevice, FromDevice int64 }

func newDeviceState(s *Session, d Device, vars []tensor.Spec, names []Variable, e ends) (h *deviceState, err error) {
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
	if h.staged, err = newBlocks(e.inputs, h.memory.newBlock); err != nil {
		return h, err
	}
	if h.results, err = newBlocks(e.outputs, h.memory.newBlock); err != nil {
		return h, err
	}
	e.scalars = h.results
	h.pairState, err = newPairState(s, vars, names, e, h.memory.newBlock)
	return h, err
}

func (h *deviceState) newHostBlock(spec tensor.Spec) (*block, error) {
	return h.memory.newHostBlock(spec)
}

func (h *deviceState) run(inputs []*block) error {
	if err := h.memory.copy(inputs, h.staged); err != nil {
		return fmt.Errorf("batch to the device: %w", err)
	}
	h.moved.ToDevice += bytesOf(inputs)
	if err := h.pairState.run(h.staged); err != nil {
		return err
	}
	if err := h.memory.copy(h.results, h.scalars); err != nil {
		return fmt.Errorf("scalars from the device: %w", err)
	}
	h.moved.FromDevice += bytesOf(h.results)
	return nil
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

// close frees what is there, which after a failed start is not all.
func (h *deviceState) close() {
	if h.pairState != nil {
		h.pairState.close()
	}
	freeBlocks(h.staged)
	freeBlocks(h.results)
	if h.memory != nil {
		h.memory.close()
	}
}
