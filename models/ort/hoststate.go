package ort

import (
	"fmt"

	"vicreg/models/tensor"
)

// ends are the inputs and outputs of a step graph that are not state, and the host
// memory that the outputs are written to.
type ends struct {
	inputs  []tensor.Spec
	outputs []tensor.Spec
	scalars []*block
}

// hostState keeps two sets of host tensors, used in turn: a run reads one set
// and writes the other. Both directions are bound once, so a step copies nothing
// and binds no more than the inputs that lie elsewhere than last time, and
// rejecting one is free.
type hostState struct {
	session *Session
	vars    []tensor.Spec
	inputs  []tensor.Spec
	sets    [2][]*block
	// turns[i] reads sets[i] and writes the other; it has the inputs bound[i].
	turns   [2]binding
	bound   [2][]*block
	current int
}

func newHostState(s *Session, vars []tensor.Spec, names []Variable, e ends) (h *hostState, err error) {
	h = &hostState{session: s, vars: vars, inputs: e.inputs}
	defer func() {
		if err != nil {
			h.close()
			h = nil
		}
	}()
	for i := range h.sets {
		if h.sets[i], err = newBlocks(vars); err != nil {
			return h, err
		}
	}
	for i := range h.turns {
		h.bound[i] = make([]*block, len(e.inputs))
		if h.turns[i], err = newBinding(s.session); err != nil {
			return h, err
		}
		if err = h.bind(h.turns[i], h.sets[i], h.sets[1-i], names, e); err != nil {
			return h, err
		}
	}
	return h, nil
}

// bind ties one direction to its state and its scalars.
func (h *hostState) bind(b binding, from, to []*block, names []Variable, e ends) error {
	out := func(name string, v *block) error {
		if err := b.output(h.session.names[name], v.value); err != nil {
			return fmt.Errorf("output %q: %w", name, err)
		}
		return nil
	}
	for i, v := range names {
		if err := h.input(b, v.In, from[i]); err != nil {
			return err
		}
		if err := out(v.Out, to[i]); err != nil {
			return err
		}
	}
	for i, spec := range e.outputs {
		if err := out(spec.Name, e.scalars[i]); err != nil {
			return err
		}
	}
	return nil
}

func (h *hostState) input(b binding, name string, v *block) error {
	if err := b.input(h.session.names[name], v.value); err != nil {
		return fmt.Errorf("input %q: %w", name, err)
	}
	return nil
}

func (h *hostState) run(inputs []*block) error {
	bound := h.bound[h.current]
	for i, b := range inputs {
		if bound[i] == b {
			continue
		}
		if err := h.input(h.turns[h.current], h.inputs[i].Name, b); err != nil {
			return err
		}
		bound[i] = b
	}
	return run(h.session.session, nil, h.turns[h.current])
}

func (h *hostState) flip() { h.current = 1 - h.current }

func (h *hostState) specs() []tensor.Spec { return h.vars }

func (h *hostState) read() (map[string]*tensor.Tensor, error) {
	state := make(map[string]*tensor.Tensor, len(h.vars))
	for i, v := range h.vars {
		state[v.Name] = h.sets[h.current][i].Clone()
	}
	return state, nil
}

func (h *hostState) write(state map[string]*tensor.Tensor) error {
	for i, v := range h.vars {
		if err := h.sets[h.current][i].CopyFrom(state[v.Name]); err != nil {
			return fmt.Errorf("state %q: %w", v.Name, err)
		}
	}
	return nil
}

func (h *hostState) close() {
	for i := range h.turns {
		h.turns[i].release()
		freeBlocks(h.sets[i])
	}
}

// newBlocks allocates a block for every spec, or none.
func newBlocks(specs []tensor.Spec) ([]*block, error) {
	var blocks []*block
	for _, spec := range specs {
		b, err := newBlock(spec)
		if err != nil {
			freeBlocks(blocks)
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func freeBlocks(blocks []*block) {
	for _, b := range blocks {
		if b != nil {
			b.free()
		}
	}
}
