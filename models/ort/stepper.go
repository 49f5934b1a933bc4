package ort

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"vicreg/models/tensor"
)

// Variable is one piece of the state of a training run: the graph reads it at the input In and
// returns its next value at the output Out, of the same type and shape. State is always named by
// In.
type Variable struct {
	In, Out string
}

// StepperConfig says how a session's graph is stepped.
type StepperConfig struct {
	// State lists every variable. All other inputs are the batch, all other
	// outputs are scalars.
	State []Variable
	// Reserve is how many bytes of device memory to allocate in one piece for the temporaries of
	// a step, 0 for none. Allocated on demand, in pieces that cannot be merged, a step of a
	// ResNet-50 holds a sixth more.
	Reserve int64
}

// Stepper runs a step graph repeatedly on a state that stays in place: none of it is copied
// between steps. A step leaves its new state pending until the caller accepts or rejects it. A
// Stepper is not safe for concurrent use.
type Stepper struct {
	ends
	copied  []*block   // by input, for tensors not from NewBatch; nil until one comes
	given   [][]*block // returned by NewBatch
	fed     []*block   // by input, what the next run reads
	state   holder
	ready   bool
	pending bool
}

// holder keeps the state of a run and computes the next one from it. A device implements it to
// keep state in its own memory; batch and scalars stay in host memory.
type holder interface {
	// newHostBlock allocates zeroed host memory for inputs.
	newHostBlock(tensor.Spec) (*block, error)
	// run computes the next state, and the scalars, from the current one. A device copies the
	// inputs to itself, and while the step runs also those of the following step, nil for none;
	// the host reads them in place.
	run(inputs, next []*block) error
	// flip makes the next state the current one.
	flip()
	// read copies the current state out, keyed by input name.
	read() (map[string]*tensor.Tensor, error)
	// each calls f with the current state, tensor by tensor.
	each(f func(name string, t *tensor.Tensor)) error
	// write sets the current state, which the Stepper has validated.
	write(map[string]*tensor.Tensor) error
	// specs describes the state, in the order of the configuration.
	specs() []tensor.Spec
	// traffic counts what has been copied so far.
	traffic() Traffic
	// taken is how much device memory is held, in bytes.
	taken() (int64, error)
	close()
}

var (
	errPending  = errors.New("the last step is neither accepted nor rejected")
	errNoState  = errors.New("no state yet: restore one first")
	errNoHolder = errors.New("the stepper is closed")
)

// NewStepper prepares a session for stepping. The graph must have no symbolic dimension, every
// variable must name an input and an output of the same type and shape, and all other outputs
// must be float32 or float64 of shape [1]. Set the state with Restore before the first step. The
// session must stay open until the stepper is closed.
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

// newStepper is NewStepper with hold deciding where the state is kept.
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

// allocate separates batch and scalars from the state and allocates the scalars.
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

// NewBatch returns zeroed tensors for all inputs that are not state, in memory that Step passes
// to the runtime without a copy. Close frees them; they must not be used after it. While a step
// runs on one batch, others may be filled by any goroutine.
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

// Step runs one step on the current state and returns the scalars by name. The batch must hold
// exactly the inputs that are not state. Tensors from NewBatch are read in place; others are
// copied first, which costs less than a thousandth of a step (BenchmarkStep), and both kinds may
// be mixed. The caller may reuse them once Step returns. The new state is pending until Accept or
// Reject; a second Step before that fails. After a failed Step nothing is pending and the state
// is unchanged.
func (st *Stepper) Step(batch tensor.Batch) (map[string]float64, error) {
	return st.StepAhead(batch, nil)
}

// StepAhead is Step that meanwhile copies the batch of the following step to the device: next,
// from NewBatch, or nil if there is none yet. From then on its tensors of 4096 bytes or more must
// not change until they have been stepped on; smaller ones are read by their own step. The
// following step may still be given another batch.
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

// whole returns the blocks of a batch from NewBatch, nil for any other.
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

// lent returns the block from NewBatch for input i at this address, or nil.
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

// usable returns an error if there is no state to work on.
func (st *Stepper) usable() error {
	if st.state == nil {
		return errNoHolder
	}
	if !st.ready {
		return errNoState
	}
	return nil
}

// Accept makes the pending state the current one. Without a pending step it is a no-op.
func (st *Stepper) Accept() {
	if st.pending {
		st.state.flip()
		st.pending = false
	}
}

// Reject drops the pending state; the current one is unchanged.
func (st *Stepper) Reject() { st.pending = false }
