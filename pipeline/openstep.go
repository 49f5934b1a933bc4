package pipeline

import (
	"fmt"
	"strings"

	"vicreg/models"
	"vicreg/models/ort"
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

// openStep loads the graph of a step and makes its stepper.
func (r *run) openStep() error {
	model, err := r.artifact.Graph.Marshal()
	if err != nil {
		return err
	}
	o := r.options()
	if r.session, err = r.lib.NewSession(model, o); err != nil && o.Capture {
		// The runtime captures only what runs on the device from end to end.
		o.Capture, r.slow = false, fmt.Sprintf("steps are not captured as a CUDA graph: %v", err)
		r.session, err = r.lib.NewSession(model, o)
	}
	if err != nil {
		return err
	}
	if err := r.whole(); err != nil {
		return err
	}
	vars := make([]ort.Variable, len(r.artifact.State))
	for i, v := range r.artifact.State {
		vars[i] = ort.Variable{In: v.In, Out: v.Out}
	}
	r.state, err = ort.NewStepper(r.session, ort.StepperConfig{State: vars})
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
		r.slow = fmt.Sprintf("this ONNX Runtime leaves nodes of the step to the host's processors: %s", strings.Join(left, ", "))
	}
	return nil
}

// options are those of the session that trains. Threads of the host's do not spin
// beside a device: they would take the cores from those that decode.
func (r *run) options() ort.Options {
	o := r.machine.Alone()
	o.Spin, o.Capture, o.FuseBias = r.machine.OnHost(), r.machine.captures(), !r.machine.OnHost()
	// Without TF32 the runtime keeps convolutions from the tensor cores altogether,
	// those of 16 bits, too.
	o.TF32 = r.Precision != fp32
	return o
}
