package ort

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// Snapshot returns a deep copy of the current state by the names of its inputs.
// A pending step is not in it.
func (st *Stepper) Snapshot() (map[string]*tensor.Tensor, error) {
	var state map[string]*tensor.Tensor
	err := st.usable()
	if err == nil {
		state, err = st.state.read()
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return state, nil
}

// Each gives f the current state tensor by tensor, by the names of its inputs and in the order of
// the configuration, without a copy of all of it: on the host f is given the state itself, which
// it must neither change nor keep. A pending step is not in it.
func (st *Stepper) Each(f func(name string, t *tensor.Tensor)) error {
	err := st.usable()
	if err == nil {
		err = st.state.each(f)
	}
	if err != nil {
		return fmt.Errorf("look at the state: %w", err)
	}
	return nil
}

// Restore sets the whole current state to a copy of what is given and drops a
// pending step. Names, types and shapes must be exactly the graph's; else
// nothing changes.
func (st *Stepper) Restore(state map[string]*tensor.Tensor) error {
	if err := st.restore(state); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (st *Stepper) restore(state map[string]*tensor.Tensor) error {
	if st.state == nil {
		return errNoHolder
	}
	specs := st.state.specs()
	for name := range state {
		if !slices.ContainsFunc(specs, func(s tensor.Spec) bool { return s.Name == name }) {
			return fmt.Errorf("state %q: the graph has no such state", name)
		}
	}
	for _, spec := range specs {
		t := state[spec.Name]
		if t == nil {
			return fmt.Errorf("state %q is missing", spec.Name)
		}
		if t.Type != spec.Type || !slices.Equal(t.Shape, spec.Shape) {
			return fmt.Errorf("state %q is %v%v, the graph wants %v%v", spec.Name, t.Type, t.Shape, spec.Type, spec.Shape)
		}
		if _, err := dataOf(t); err != nil {
			return fmt.Errorf("state %q: %w", spec.Name, err)
		}
	}
	if err := st.state.write(state); err != nil {
		return err
	}
	st.ready, st.pending = true, false
	return nil
}

// Traffic is what was copied between the host and the device so far: batches and
// scalars by Step, the state by Snapshot and Restore. On the host it is nothing.
func (st *Stepper) Traffic() Traffic {
	if st.state == nil {
		return Traffic{}
	}
	return st.state.traffic()
}

// DeviceMemory is how many bytes of its device's memory the session has taken: the
// state, the batch and, once a step has run, what a step needs. The runtime keeps
// what it has taken, so it is also the most so far. The CUDA libraries' own share is
// not in it. On the host it is 0.
func (st *Stepper) DeviceMemory() (int64, error) {
	if st.state == nil {
		return 0, fmt.Errorf("device memory: %w", errNoHolder)
	}
	bytes, err := st.state.taken()
	if err != nil {
		return 0, fmt.Errorf("device memory: %w", err)
	}
	return bytes, nil
}

// Close frees all memory of the stepper, not the session. It may be called
// again.
func (st *Stepper) Close() error {
	if st.state != nil {
		st.state.close()
	}
	for _, blocks := range append(st.given, st.copied, st.scalars) {
		freeBlocks(blocks)
	}
	*st = Stepper{}
	return nil
}
