package ort

import (
	"fmt"
	"strconv"

	"vicreg/models/tensor"
)

// ends are the inputs and outputs of a step graph that are not state, and the memory that the
// outputs are written to.
type ends struct {
	inputs  []tensor.Spec
	outputs []tensor.Spec
	scalars []*block
}

// pairState is a double buffer: a run reads one set of tensors and writes the other. Both
// directions are bound once, so a step copies nothing and binds only inputs that lie elsewhere
// than last time, and rejecting a step is free. The allocator decides where the tensors lie; read
// and write are for host memory.
type pairState struct {
	session *Session
	vars    []tensor.Spec
	inputs  []tensor.Spec
	sets    [2][]*block
	// turns[i] reads sets[i] and writes the other; its inputs are bound[i].
	turns   [2]binding
	bound   [2][]*block
	options [2]handle // of the runs, by turn; nil for none
	current int
}

func newPairState(s *Session, vars []tensor.Spec, names []Variable, e ends, alloc allocate) (h *pairState, err error) {
	h = &pairState{session: s, vars: vars, inputs: e.inputs}
	defer func() {
		if err != nil {
			h.close()
			h = nil
		}
	}()
	for i := range h.sets {
		if h.sets[i], err = newBlocks(vars, alloc); err != nil {
			return h, err
		}
	}
	for i := range h.turns {
		h.bound[i] = make([]*block, len(e.inputs))
		if h.turns[i], err = newBinding(s.session); err != nil {
			return h, err
		}
		if s.capture {
			// The capture goes by this name: one graph per direction.
			if h.options[i], err = runOptions("gpu_graph_id", strconv.Itoa(i+1)); err != nil {
				return h, err
			}
		}
		if err = h.bind(h.turns[i], h.sets[i], h.sets[1-i], names, e); err != nil {
			return h, err
		}
	}
	return h, nil
}

// bind binds one direction to its state and its scalars.
func (h *pairState) bind(b binding, from, to []*block, names []Variable, e ends) error {
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

// input binds on the session's thread: for any other thread that binds, the runtime creates a
// stream on the device, with everything that belongs to one.
func (h *pairState) input(b binding, name string, v *block) (err error) {
	h.session.thread.do(func() { err = b.input(h.session.names[name], v.value) })
	if err != nil {
		return fmt.Errorf("input %q: %w", name, err)
	}
	return nil
}

func (h *pairState) run(inputs, _ []*block) error {
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
	return h.session.run(h.options[h.current], h.turns[h.current])
}

func (h *pairState) flip() { h.current = 1 - h.current }

func (h *pairState) specs() []tensor.Spec { return h.vars }

func (h *pairState) read() (map[string]*tensor.Tensor, error) {
	state := make(map[string]*tensor.Tensor, len(h.vars))
	for i, v := range h.vars {
		state[v.Name] = h.sets[h.current][i].Clone()
	}
	return state, nil
}

func (h *pairState) each(f func(string, *tensor.Tensor)) error {
	for i, v := range h.vars {
		f(v.Name, &h.sets[h.current][i].Tensor)
	}
	return nil
}

func (h *pairState) write(state map[string]*tensor.Tensor) error {
	for i, v := range h.vars {
		if err := h.sets[h.current][i].CopyFrom(state[v.Name]); err != nil {
			return fmt.Errorf("state %q: %w", v.Name, err)
		}
	}
	return nil
}

func (h *pairState) newHostBlock(spec tensor.Spec) (*block, error) { return newBlock(spec) }

func (h *pairState) traffic() Traffic { return Traffic{} }

func (h *pairState) taken() (int64, error) { return 0, nil }

func (h *pairState) close() {
	for i := range h.turns {
		h.turns[i].release()
		releaseRunOptions(h.options[i])
		freeBlocks(h.sets[i])
	}
}

// allocate makes a block for a spec.
type allocate func(tensor.Spec) (*block, error)

// newBlocks allocates a block for every spec, or on failure none.
func newBlocks(specs []tensor.Spec, alloc allocate) ([]*block, error) {
	var blocks []*block
	for _, spec := range specs {
		b, err := alloc(spec)
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
