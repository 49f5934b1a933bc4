package steps

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// Run is a step ready to run, with its own state. It is not safe for concurrent use.
type Run struct {
	*ort.Stepper
	Session  *ort.Session
	Artifact *models.Artifact
	Config   models.Config
	Device   ort.Device
	Problem  string  // why the launches of a step cannot be captured, if so
	scale    float32 // of the loss
}

// Seed determines the initial weights of every Run.
const Seed = 1

// Open builds the graph of a setup and loads it, with weights that depend only on names and shapes.
// The caller closes it.
func Open(s Setup) (r *Run, err error) {
	d, err := ort.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	lib, err := Library(d)
	if err != nil {
		return nil, err
	}
	r = &Run{Device: d, scale: firstScale(s.Precision)}
	if r.Config, err = s.config(lib, d); err != nil {
		return nil, err
	}
	if r.Artifact, err = models.Step(r.Config); err != nil {
		return nil, err
	}
	opt := s.options(d, r.Config)
	if err = r.load(lib, opt); err != nil && opt.Capture { // vicreg train falls back in the same way
		opt.Capture, r.Problem = false, err.Error()
		if err = r.Close(); err == nil {
			r.Stepper, r.Session = nil, nil
			err = r.load(lib, opt)
		}
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) load(lib *ort.Runtime, opt ort.Options) error {
	model, err := r.Artifact.Graph.Marshal()
	if err != nil {
		return err
	}
	if r.Session, err = lib.NewSession(model, opt); err != nil {
		return err
	}
	var state []ort.Variable
	for _, v := range r.Artifact.State {
		state = append(state, ort.Variable{In: v.In, Out: v.Out})
	}
	reserve, err := r.Artifact.Reserve()
	if err != nil {
		return err
	}
	if r.Stepper, err = ort.NewStepper(r.Session, ort.StepperConfig{State: state, Reserve: reserve}); err != nil {
		return err
	}
	if err := r.Restore(r.Artifact.InitialState(Seed)); err != nil || r.Device.Kind == tensor.Host {
		debug.FreeOSMemory() // as vicreg train does
		return err
	}
	// The first step on a device searches for kernels and captures.
	b, err := r.NewBatch()
	if err != nil {
		return err
	}
	r.Set(b, 0)
	if _, err := r.Step(b); err != nil {
		return err
	}
	r.Reject()
	return nil
}

// firstScale returns vicreg train's initial loss scale: in float16 small gradients would underflow
// without it.
func firstScale(precision string) float32 {
	if precision == "fp16" {
		return 1 << 16
	}
	return 1
}

// Noise returns a batch of random pixels, in memory that needs no copy: the contents of the images
// do not affect the time of a step.
func (r *Run) Noise() (tensor.Batch, error) {
	b, err := r.NewBatch()
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, view := range []string{models.View1, models.View2} {
		pixels := b[view].Data.([]uint8)
		for i := range pixels {
			pixels[i] = uint8(random.Uint32())
		}
	}
	return b, nil
}

// Take takes a step on a batch of NewBatch with a learning rate, while next, which may be nil or
// the same batch, is copied for the following step. It accepts the step unless its gradient is not
// finite: then it halves the loss scale, like vicreg train. It returns the scalars.
func (r *Run) Take(b, next tensor.Batch, rate float64) (map[string]float64, error) {
	r.Set(b, rate)
	scalars, err := r.StepAhead(b, next)
	if err != nil {
		return nil, err
	}
	if loss := scalars["loss"]; scalars["finite"] == 1 && loss-loss == 0 {
		r.Accept()
		return scalars, nil
	}
	r.Reject()
	if r.scale /= 2; r.scale < 1 {
		return nil, fmt.Errorf("loss or gradient are not finite")
	}
	return scalars, nil
}

// Set writes the rate and the loss scale into a batch of NewBatch.
func (r *Run) Set(b tensor.Batch, rate float64) {
	b[models.Rate].Float32()[0], b[models.LossScale].Float32()[0] = float32(rate), r.scale
}

// Close frees what was opened. It may be called on a partly opened run.
func (r *Run) Close() error {
	var errs []error
	if r.Stepper != nil {
		errs = append(errs, r.Stepper.Close())
	}
	if r.Session != nil {
		errs = append(errs, r.Session.Close())
	}
	return errors.Join(errs...)
}
