package models

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"vicreg/models/optim"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/scripts/golden"
)

// The optimisers of scripts/golden/steps.py by the name of the run that follows the same rule: SGD
// decays every parameter, LARS and AdamW those of rank > 1. bound limits the relative error of the
// losses, weights that of each weight. The layout of the convolutions is irrelevant to the
// optimiser, so only one of them runs in all layouts. The first steps of AdamW are as large as the
// learning rate however small the gradient: an element whose gradient is zero up to rounding may go
// either way, and one such element moves the losses by 3e-4.
var stepRuns = []struct {
	run, optimizer        string
	decay, bound, weights float64
	allLayouts            bool
}{
	{"sgd", "sgd", 0.1, 1e-5, 2e-5, false},
	{"lars", "lars", 0.1, 1e-4, 2e-5, true},
	{"adamw_matrices", "adamw", 0.05, 1e-3, 1e-3, false},
}

func stepConfig(optimizer string, decay float64, block int) Config {
	c := twinConfig("gelu", 8, block)
	c.Optimizer, _ = optim.Default(optimizer)
	c.Optimizer.WeightDecay = decay
	return c
}

// newStepper loads the step graph of c and sets its state.
func newStepper(t *testing.T, c Config, state func(*Artifact) map[string]*tensor.Tensor) *ort.Stepper {
	t.Helper()
	a, err := Step(c)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ort.StepperConfig{}
	for _, v := range a.State {
		cfg.State = append(cfg.State, ort.Variable{In: v.In, Out: v.Out})
	}
	m, err := a.Graph.Model()
	if err != nil {
		t.Fatal(err)
	}
	st, err := ort.NewStepper(orttest.Session(t, m, ort.Options{}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if err := st.Restore(state(a)); err != nil {
		t.Fatal(err)
	}
	return st
}

// step runs one step on the images of its number, without accepting it.
func step(t *testing.T, st *ort.Stepper, c Config, number int, lr float64) map[string]float64 {
	t.Helper()
	batch := views(c, fmt.Sprintf("step%d/", number))
	batch[Rate] = tensor.Of([]float32{float32(lr)})
	out, err := st.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func snapshot(t *testing.T, st *ort.Stepper) map[string]*tensor.Tensor {
	t.Helper()
	state, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// Twenty steps on new images, with a changing learning rate, match the losses of float64 and, in
// the end, the norm and direction of its weights.
func TestTwentySteps(t *testing.T) {
	f := golden.Open(t, "steps")
	for _, r := range stepRuns {
		for _, block := range layouts(t) {
			if block > 0 && !r.allLayouts {
				continue
			}
			t.Run(fmt.Sprintf("%s/block%d", r.run, block), func(t *testing.T) {
				c := stepConfig(r.optimizer, r.decay, block)
				st := newStepper(t, c, twinState)
				worst, theirs, want := 0.0, 0.0, f.Floats(r.run+"/loss")
				for i, lr := range f.Floats(r.run + "/lr") {
					out := step(t, st, c, i, lr)
					st.Accept()
					e := math.Abs(out["loss"]/want[i] - 1)
					worst = max(worst, e)
					theirs = max(theirs, math.Abs(f.Floats(r.run + "/f32_loss")[i]/want[i]-1))
					atMost(t, fmt.Sprintf("the loss of step %d", i), e, r.bound)
					if out["finite"] != 1 {
						t.Errorf("step %d is not finite", i)
					}
				}
				t.Logf("losses: worst %.1e, PyTorch's %.1e", worst, theirs)
				checkWeights(t, f, r.run, snapshot(t, st), r.weights)
			})
		}
	}
}

// checkWeights compares norms and projections of the state after the last step. The bound for a
// tensor is ten times PyTorch's own float32 error, or bound.
func checkWeights(t *testing.T, f *golden.Fixture, run string, state map[string]*tensor.Tensor, bound float64) {
	norms, dots, theirs := f.Floats(run+"/norm"), f.Floats(run+"/dot"), f.Floats(run+"/f32_error")
	noise, worst := f.Names("adamw_noise"), 0.0
	for i, name := range f.Names("names") {
		if run == "adamw_matrices" && slices.Contains(noise, name) {
			continue
		}
		values, dot := wide(state[name]), 0.0
		for j, u := range golden.U("dot/"+name, len(values)) {
			dot += float64(u) * values[j]
		}
		e := max(math.Abs(norm(values)-norms[i]), math.Abs(dot-dots[i])) / norms[i]
		worst = max(worst, e)
		atMost(t, name+" after the last step", e, max(bound, 10*theirs[i]))
	}
	t.Logf("weights: worst %.1e, PyTorch's %.1e", worst, slices.Max(theirs))
}
