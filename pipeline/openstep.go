package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/ort"
)

// stepConfig describes the step's graph in the form best for the machine.
func (r *run) stepConfig() models.Config {
	c := r.graphs(r.block)
	c.Batch, c.Group = r.part(), place(r.group())
	c.SyncNorm = r.syncsNorm()
	if !r.machine.OnHost() {
		c.Device, c.CustomOps = r.machine.Device.Kind, r.machine.customOps()
		c.Compute, c.TF32 = r.Precision.compute(), r.Precision == tf32
	}
	return c
}

// openStep loads the step's graph and creates its stepper, capturing the launches if the runtime
// accepts that: the whole graph must run on the device.
func (r *run) openStep() error {
	o := r.options()
	err := r.open(o)
	if err != nil && o.Capture {
		err = r.uncaptured(err)
	}
	return err
}

// uncaptured reopens the step without capture, for the given reason.
func (r *run) uncaptured(why error) error {
	if err := r.closeStep(); err != nil {
		return errors.Join(why, err)
	}
	o := r.options()
	o.Capture, r.slow = false, fmt.Sprintf("steps are not captured as a CUDA graph: %v", why)
	return r.open(o)
}

// open is openSession, unless a test has replaced it.
func (r *run) open(o ort.Options) error {
	if r.opening != nil {
		return r.opening(o)
	}
	return r.openSession(o)
}

func (r *run) openSession(o ort.Options) error {
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
	reserve, err := r.artifact.Reserve()
	if err != nil {
		return err
	}
	state, err := ort.NewStepper(r.session, ort.StepperConfig{State: vars, Reserve: reserve})
	if err != nil {
		return err
	}
	r.state, r.capturing = state, o.Capture
	return nil
}

// closeStep closes stepper and session if they are open.
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

// whole records which nodes the device leaves to the host: each costs two copies.
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
		if strings.HasPrefix(p.Operator, graph.DomainCollectives) {
			continue // collectives run on the host by design
		}
		left = append(left, fmt.Sprintf("%d %s", p.Nodes, p.Operator))
	}
	if left != nil {
		r.slow = join(r.slow, "this ONNX Runtime runs nodes of the step on the CPU: "+strings.Join(left, ", "))
	}
	return nil
}

// join joins two reasons, either of which may be empty.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// options returns the options of the training session. With a device, the runtime's host threads do
// not spin: they would take cores from the decoding workers.
func (r *run) options() ort.Options {
	o := r.machine.Alone()
	o.Spin, o.FuseBias = r.machine.OnHost(), !r.machine.OnHost()
	o.Capture = r.machine.captures() && r.group().Size() == 1 // processes communicate via the host
	// Without TF32 the runtime bars its convolutions from the tensor cores altogether, even 16-bit
	// ones; with it, the loss is computed in TF32.
	o.TF32 = r.Precision == tf32 || r.Precision == fp16 && !r.machine.customOps()
	return o
}
