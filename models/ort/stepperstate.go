package ort

import (
	"fmt"
	"slices"

	"vicreg/models/tensor"
)

// Snapshot returns a deep copy of the current state, keyed by input name. It excludes a pending
// step.
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

// Each calls f with the current state tensor by tensor, named by input and in the order of the
// configuration, without copying all of it at once: on the host f gets the state itself, which it
// must neither change nor keep. It excludes a pending step.
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

// Restore sets the whole current state to a copy of the given one and drops a pending step.
// Names, types and shapes must match the graph's exactly; otherwise nothing changes.
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

// Traffic returns what has been copied between the host and the device so far: batches and
// scalars by Step, the state by Snapshot, Each and Restore. On the host it is zero.
func (st *Stepper) Traffic() Traffic {
	if st.state == nil {
		return Traffic{}
	}
	return st.state.traffic()
}

// DeviceMemory returns how many bytes of device memory the session has allocated: for the state,
// the batch and, once a step has run, what a step needs. The runtime keeps what it has allocated,
// so this is also the peak. The CUDA libraries' own memory is not included. On the host it is 0.
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

// Close frees all memory of the stepper, but not the session. It may be called again.
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
