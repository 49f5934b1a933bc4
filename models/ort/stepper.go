package ort

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"vicreg/models/tensor"
)

// Variable is one piece of the state of a training run: the graph reads it at
// the input In and gives its next value at the output Out, of the same type and
// shape. In is its name wherever state is named.
type Variable struct {
	In, Out string
}

// StepperConfig says how a session's graph is stepped.
type StepperConfig struct {
	// State lists every variable. All other inputs are the batch, all other
	// outputs are scalars.
	State []Variable
	// Reserve is how many bytes of a device's memory are taken in one piece for what a
	// step makes and drops, 0 for none. Taken as it comes, in pieces of which none can grow
	// into the next, a step of a ResNet-50 holds a sixth more.
	Reserve int64
}

// Stepper runs a step graph again and again on a state that stays in place:
// nothing of it is copied between steps. A step leaves its new state pending
// until the caller accepts or rejects it. A Stepper is for one goroutine.
type Stepper struct {
	ends
	copied  []*block   // by input, for tensors from elsewhere; nil until one comes
	given   [][]*block // by NewBatch
	fed     []*block   // by input, what the next run reads
	state   holder
	ready   bool
	pending bool
}

// holder keeps the state of a run and makes the next one from it. It is what a
// device implements to keep state in its own memory; batch and scalars stay in
// the host's.
type holder interface {
	// newHostBlock allocates zeroed memory of the host for what goes in.
	newHostBlock(tensor.Spec) (*block, error)
	// run makes the next state from the current one, and the scalars. A device
	// copies the inputs, and meanwhile those of the step after this one, nil for
	// none; on the host they are read where they are.
	run(inputs, next []*block) error
	// flip makes the next state the current one.
	flip()
	// read copies the current state out, by the name of its input.
	read() (map[string]*tensor.Tensor, error)
	// each gives f the current state, tensor by tensor.
	each(f func(name string, t *tensor.Tensor)) error
	// write sets the current state, which the Stepper has checked.
	write(map[string]*tensor.Tensor) error
	// specs describes the state, in the order of the configuration.
	specs() []tensor.Spec
	// traffic counts what was copied so far.
	traffic() Traffic
	// taken is how much memory of the device is held.
	taken() (int64, error)
	close()
}

var (
	errPending  = errors.New("the last step is neither accepted nor rejected")
	errNoState  = errors.New("no state yet: restore one first")
	errNoHolder = errors.New("the stepper is closed")
)

// NewStepper prepares a session for stepping. The graph must have no symbolic
// dimension, every variable must name an input and an output of one type and
// shape, and the outputs that are no state must be float32 or float64 of shape
// [1]. The state is to be set by Restore before the first step. The session
// must stay open until the stepper is closed.
func NewStepper(s *Session, cfg StepperConfig) (*Stepper, error) {
	st, err := newStepper(s, cfg, func(vars []tensor.Spec, e ends) (holder, error) {
		if s.device.Kind == tensor.Host {
			return newPairState(s, vars, cfg.State, e, newBlock)
		}
		return newDeviceState(s, s.device, vars, cfg, e)
	})
	if err != nil {
		return nil, fmt.Errorf("prepare step: %w", err)
	}
	return st, nil
}

// newStepper leaves it to hold where the state is kept: where the session runs.
func newStepper(s *Session, cfg StepperConfig, hold func([]tensor.Spec, ends) (holder, error)) (*Stepper, error) {
	if s.session == nil {
		return nil, errClosed
	}
	vars, err := pair(s, cfg.State)
	if err != nil {
		return nil, err
	}
	st := new(Stepper)
	if err := st.allocate(s, cfg.State); err != nil {
		st.Close()
		return nil, err
	}
	if st.state, err = hold(vars, st.ends); err != nil {
		st.state = nil
		st.Close()
		return nil, err
	}
	return st, nil
}

// allocate sorts batch and scalars from the state and makes memory for the latter.
func (st *Stepper) allocate(s *Session, state []Variable) (err error) {
	st.inputs = slices.DeleteFunc(s.Inputs(), func(v tensor.Spec) bool {
		return slices.ContainsFunc(state, func(p Variable) bool { return p.In == v.Name })
	})
	st.outputs = slices.DeleteFunc(s.Outputs(), func(v tensor.Spec) bool {
		return slices.ContainsFunc(state, func(p Variable) bool { return p.Out == v.Name })
	})
	for _, o := range st.outputs {
		if float := o.Type == tensor.Float32 || o.Type == tensor.Float64; !float || !slices.Equal(o.Shape, []int{1}) {
			return fmt.Errorf("output %q is %v%v: neither state nor a float32 or float64 of shape [1]", o.Name, o.Type, o.Shape)
		}
	}
	st.copied, st.fed = make([]*block, len(st.inputs)), make([]*block, len(st.inputs))
	st.scalars, err = newBlocks(st.outputs, newBlock)
	return err
}

// pair finds the spec of every variable.
func pair(s *Session, state []Variable) ([]tensor.Spec, error) {
	find := func(specs []tensor.Spec, name string) (tensor.Spec, bool) {
		at := slices.IndexFunc(specs, func(v tensor.Spec) bool { return v.Name == name })
		if at < 0 {
			return tensor.Spec{}, false
		}
		return specs[at], true
	}
	var vars []tensor.Spec
	for i, v := range state {
		in, ok := find(s.in, v.In)
		if !ok {
			return nil, fmt.Errorf("state %q: no such input", v.In)
		}
		out, ok := find(s.out, v.Out)
		if !ok {
			return nil, fmt.Errorf("state %q: no such output %q", v.In, v.Out)
		}
		if in.Type != out.Type || !slices.Equal(in.Shape, out.Shape) {
			return nil, fmt.Errorf("state %q: %v%v becomes %v%v in %q", v.In, in.Type, in.Shape, out.Type, out.Shape, v.Out)
		}
		if slices.ContainsFunc(state[:i], func(w Variable) bool { return w.In == v.In || w.Out == v.Out }) {
			return nil, fmt.Errorf("state %q: given twice", v.In)
		}
		vars = append(vars, in)
	}
	return vars, nil
}

// NewBatch returns zeroed tensors for all inputs that are not state, in memory that
// Step hands to the runtime as it is. They are freed by Close and must not be used
// after it. While a step runs on one batch, others may be filled, by any goroutine.
func (st *Stepper) NewBatch() (tensor.Batch, error) {
	if st.state == nil {
		return nil, fmt.Errorf("new batch: %w", errNoHolder)
	}
	blocks, err := newBlocks(st.inputs, st.state.newHostBlock)
	if err != nil {
		return nil, fmt.Errorf("new batch: %w", err)
	}
	st.given = append(st.given, blocks)
	batch := make(tensor.Batch, len(blocks))
	for i, b := range blocks {
		batch[st.inputs[i].Name] = &tensor.Tensor{Type: b.Type, Shape: slices.Clone(b.Shape), Data: b.Data}
	}
	return batch, nil
}

// Step runs one step on the current state and returns the scalars by name. The
// batch holds exactly the inputs that are not state. Tensors from NewBatch are read
// where they are; others are copied first, which costs less than a thousandth of a
// step (BenchmarkStep), and both kinds may be mixed. They are the caller's again on
// return. The new state is pending until Accept or Reject; a second Step before
// that is an error. After a failed Step nothing is pending and the state is what it
// was.
func (st *Stepper) Step(batch tensor.Batch) (map[string]float64, error) {
	return st.StepAhead(batch, nil)
}

// StepAhead is Step, and copies to a device meanwhile what the step after this one will
// be given: next, a batch of NewBatch, or nil where there is none yet. From then on its
// tensors of 4096 bytes and more must stay as they are until they have been stepped on;
// smaller ones are read by their own step. Another batch may be stepped on all the same.
func (st *Stepper) StepAhead(batch, next tensor.Batch) (map[string]float64, error) {
	if err := st.step(batch, next); err != nil {
		return nil, fmt.Errorf("step: %w", err)
	}
	out := make(map[string]float64, len(st.scalars))
	for i, b := range st.scalars {
		switch d := b.Data.(type) {
		case []float32:
			out[st.outputs[i].Name] = float64(d[0])
		case []float64:
			out[st.outputs[i].Name] = d[0]
		}
	}
	return out, nil
}

func (st *Stepper) step(batch, next tensor.Batch) error {
	if err := st.usable(); err != nil {
		return err
	}
	if st.pending {
		return errPending
	}
	if err := only(batch, st.inputs); err != nil {
		return err
	}
	for i, spec := range st.inputs {
		data, err := fits(batch[spec.Name], spec)
		if err != nil {
			return err
		}
		if st.fed[i] = st.lent(i, data); st.fed[i] == nil {
			if st.fed[i], err = st.copy(i, batch[spec.Name]); err != nil {
				return fmt.Errorf("input %q: %w", spec.Name, err)
			}
		}
	}
	if err := st.state.run(st.fed, st.whole(next)); err != nil {
		return err
	}
	st.pending = true
	return nil
}

// whole are the blocks of a batch of NewBatch, nil for any other.
func (st *Stepper) whole(batch tensor.Batch) []*block {
	blocks := make([]*block, len(st.inputs))
	for i, spec := range st.inputs {
		t := batch[spec.Name]
		if t == nil {
			return nil
		}
		data, err := dataOf(t)
		if err != nil || data == nil {
			return nil
		}
		if blocks[i] = st.lent(i, data); blocks[i] == nil {
			return nil
		}
	}
	return blocks
}

// lent is the block that NewBatch gave for input i at this address, or nil.
func (st *Stepper) lent(i int, data unsafe.Pointer) *block {
	for _, blocks := range st.given {
		if blocks[i].memory == data {
			return blocks[i]
		}
	}
	return nil
}

// copy copies a tensor into a block of input i.
func (st *Stepper) copy(i int, t *tensor.Tensor) (b *block, err error) {
	if st.copied[i] == nil {
		if st.copied[i], err = st.state.newHostBlock(st.inputs[i]); err != nil {
			return nil, err
		}
	}
	return st.copied[i], st.copied[i].CopyFrom(t)
}

// usable tells whether there is a state to work on.
func (st *Stepper) usable() error {
	if st.state == nil {
		return errNoHolder
	}
	if !st.ready {
		return errNoState
	}
	return nil
}

// Accept makes the pending state the current one. Without a pending step it
// does nothing.
func (st *Stepper) Accept() {
	if st.pending {
		st.state.flip()
		st.pending = false
	}
}

// Reject drops the pending state: the current one stays, untouched.
func (st *Stepper) Reject() { st.pending = false }
