package pipeline

import (
	"errors"
	"fmt"
	"strings"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/ort"
)

// stepConfig describes the graph of a step as the machine runs it best.
func (r *run) stepConfig() models.Config {
	c := r.graphs(r.block)
	c.Batch, c.Group = r.part(), place(r.group())
	if !r.machine.OnHost() {
		c.Device, c.CustomOps = r.machine.Device.Kind, r.machine.customOps()
		c.Compute, c.TF32 = r.Precision.compute(), r.Precision == tf32
	}
	return c
}

// openStep loads the graph of a step and makes its stepper, which captures what it
// launches where the runtime takes that: all of the graph must run on the device.
func (r *run) openStep() error {
	o := r.options()
	err := r.open(o)
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
	return r.open(o)
}

// open is openSession, or what a test has put in its place.
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
		if strings.HasPrefix(p.Operator, graph.DomainCollectives) {
			continue // which run there
		}
		left = append(left, fmt.Sprintf("%d %s", p.Nodes, p.Operator))
	}
	if left != nil {
		r.slow = join(r.slow, "this ONNX Runtime leaves nodes of the step to the host's processors: "+strings.Join(left, ", "))
	}
	return nil
}

// join joins what there is of two reasons.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// options are those of the session that trains. Threads of the host's do not spin
// beside a device: they would take the cores from those that decode.
func (r *run) options() ort.Options {
	o := r.machine.Alone()
	o.Spin, o.FuseBias = r.machine.OnHost(), !r.machine.OnHost()
	o.Capture = r.machine.captures() && r.group().Size() == 1 // what processes exchange goes over the host
	// Without TF32 the runtime keeps its convolutions from the tensor cores altogether,
	// those of 16 bits, too; with it, the loss is in TF32.
	o.TF32 = r.Precision == tf32 || r.Precision == fp16 && !r.machine.customOps()
	return o
}
