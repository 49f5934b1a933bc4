package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// stepConfig describes the graph of a step as the machine runs it best.
func (r *run) stepConfig() models.Config {
	c := r.graphs(r.block)
	if !r.machine.OnHost() {
		c.Device, c.Forms = r.machine.Device.Kind, r.machine.forms()
		c.Compute, c.TF32 = r.Precision.compute(), r.Precision == tf32
	}
	return c
}

// openStep loads the graph of a step and makes its stepper, which captures what it
// launches where the runtime takes that: all of the graph must run on the device.
func (r *run) openStep() error {
	o := r.options()
	err := r.openWith(o)
	if err != nil && o.Capture {
		err = r.uncaptured(err)
	}
	return err
}

// uncaptured opens the step anew without capture, for the reason given.
func (r *run) uncaptured(why error) error {
	if err := r.closeStep(); err != nil {
		return errors.Join(why, err)
	}
	o := r.options()
	o.Capture, r.slow = false, fmt.Sprintf("steps are not captured as a CUDA graph: %v", why)
	return r.openWith(o)
}

func (r *run) openWith(o ort.Options) error {
	model, err := r.artifact.Graph.Marshal()
	if err != nil {
		return err
	}
	if r.session, err = r.lib.NewSession(model, o); err != nil {
		return err
	}
	if err := r.whole(); err != nil {
		return err
	}
	vars := make([]ort.Variable, len(r.artifact.State))
	for i, v := range r.artifact.State {
		vars[i] = ort.Variable{In: v.In, Out: v.Out}
	}
	state, err := ort.NewStepper(r.session, ort.StepperConfig{State: vars})
	if err != nil {
		return err
	}
	r.state, r.capturing = state, o.Capture
	return nil
}

// closeStep closes stepper and session, as far as they are open.
func (r *run) closeStep() error {
	var errs []error
	if r.state != nil {
		errs = append(errs, r.state.Close())
	}
	if r.session != nil {
		errs = append(errs, r.session.Close())
	}
	r.state, r.session = nil, nil
	return errors.Join(errs...)
}

// begin sets the state. On a device it then takes a step and drops it: the first one
// finds the fastest convolutions, captures the launches and takes the memory, and what
// goes wrong with that does so before anything is written.
func (r *run) begin(state map[string]*tensor.Tensor) error {
	if err := r.state.Restore(state); err != nil || r.machine.OnHost() {
		return err
	}
	err := r.dropped()
	if err == nil || !r.capturing {
		return err
	}
	if err := r.uncaptured(err); err != nil {
		return err
	}
	if err := r.state.Restore(state); err != nil {
		return err
	}
	return r.dropped()
}

// dropped takes a step on black images and rejects it.
func (r *run) dropped() error {
	batch, err := r.state.NewBatch()
	if err != nil {
		return err
	}
	batch[models.LossScale].Float32()[0] = 1
	if _, err := r.state.Step(batch); err != nil {
		return r.explained(err)
	}
	r.state.Reject()
	return nil
}

// explained adds to the error of a step what can be done about it.
func (r *run) explained(err error) error {
	if !r.machine.OnHost() && strings.Contains(err.Error(), "Failed to allocate memory") { // the runtime's words
		return fmt.Errorf("the memory of %v is full: choose a smaller --batch, --image-size, --width or --expander, or --precision fp16: %w", r.machine.Device, err)
	}
	return err
}

// whole notes what the device leaves to the host: each such node costs two copies.
func (r *run) whole() error {
	if r.machine.OnHost() {
		return nil
	}
	placed, err := r.session.Placement()
	if err != nil {
		return err
	}
	var left []string
	for _, p := range ort.Strangers(placed, r.machine.Device) {
		left = append(left, fmt.Sprintf("%d %s", p.Nodes, p.Operator))
	}
	if left != nil {
		if r.slow != "" {
			r.slow += "; "
		}
		r.slow += fmt.Sprintf("this ONNX Runtime leaves nodes of the step to the host's processors: %s", strings.Join(left, ", "))
	}
	return nil
}

// options are those of the session that trains. Threads of the host's do not spin
// beside a device: they would take the cores from those that decode.
func (r *run) options() ort.Options {
	o := r.machine.Alone()
	o.Spin, o.Capture, o.FuseBias = r.machine.OnHost(), r.machine.captures(), !r.machine.OnHost()
	// Without TF32 the runtime keeps its convolutions from the tensor cores altogether,
	// those of 16 bits, too; with it, the loss is in TF32.
	o.TF32 = r.Precision == tf32 || r.Precision == fp16 && r.machine.kernels == "portable"
	return o
}
