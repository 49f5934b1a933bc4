package models

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// The middle of a run: the state after a few steps, when the optimiser's tensors are no longer
// zero, and the step that follows.
const (
	middle     = 3
	middleRate = 0.1
)

func middleState(t *testing.T, st *ort.Stepper, c Config) map[string]*tensor.Tensor {
	t.Helper()
	for i := range middle {
		if out := step(t, st, c, i, 1e-4); out["finite"] != 1 {
			t.Fatalf("step %d is not finite: %v", i, out)
		}
		st.Accept()
	}
	return snapshot(t, st)
}

// middleBatch is the input of the step after middleState.
func middleBatch(c Config, lr, lossScale float64) tensor.Batch {
	batch := views(c, "step3/")
	batch[Rate] = tensor.Of([]float32{float32(lr)})
	batch[LossScale] = tensor.Of([]float32{float32(lossScale)})
	return batch
}

// next runs the step on a state and returns its scalars and the new state.
func next(t *testing.T, st *ort.Stepper, state map[string]*tensor.Tensor, batch tensor.Batch) (map[string]float64, map[string]*tensor.Tensor) {
	t.Helper()
	if err := st.Restore(state); err != nil {
		t.Fatal(err)
	}
	out, err := st.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	st.Accept()
	return out, snapshot(t, st)
}

// separate runs training_model, then optimizer_model on its gradients, and returns the outputs of
// both.
func separate(t *testing.T, c Config, state map[string]*tensor.Tensor, batch tensor.Batch) tensor.Batch {
	t.Helper()
	training := trainingOf(t, c)
	optimizer, err := Optimizer(c)
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, training.Graph, state, batch)
	maps.Copy(out, run(t, optimizer.Graph, state, batch, out))
	return out
}

// sameState compares states by the names of their inputs, which have a suffix in got. It reports
// the largest error relative to a tensor.
func sameState(t *testing.T, got, want map[string]*tensor.Tensor, suffix string, bound float64) {
	t.Helper()
	worst := 0.0
	for name, w := range want {
		g := got[name+suffix]
		if g == nil {
			t.Errorf("no new value of %s", name)
			continue
		}
		if slices.Equal(g.Float32(), w.Float32()) {
			continue
		}
		e := farthest(g, wide(w), 0)
		worst = max(worst, e)
		atMost(t, name, e, bound)
	}
	t.Logf("%d tensors, worst %.1e", len(want), worst)
}

// The step graph does the same as training_model followed by optimizer_model, and every parameter
// changes.
func TestMergedIsSeparate(t *testing.T) {
	for _, r := range stepRuns {
		t.Run(r.optimizer, func(t *testing.T) {
			c := stepConfig(r.optimizer, r.decay, 0)
			st := newStepper(t, c, twinState)
			before := middleState(t, st, c)
			batch := middleBatch(c, middleRate, 1)
			scalars, after := next(t, st, before, batch)
			got := separate(t, c, before, batch)
			sameState(t, got, after, nextSuffix, 1e-6)
			for name, want := range scalars {
				atMost(t, name, math.Abs(float64(got[name].Float32()[0])/want-1), 1e-6)
			}
			for name, x := range before {
				if slices.Equal(x.Float32(), after[name].Float32()) {
					t.Errorf("the step leaves %s as it is", name)
				}
			}
		})
	}
}

// Gradients are divided by the loss scale again: the step is the same up to rounding.
func TestLossScaleCancels(t *testing.T) {
	c := stepConfig("lars", 0.1, 0)
	st := newStepper(t, c, twinState)
	before := middleState(t, st, c)
	scalars, want := next(t, st, before, middleBatch(c, middleRate, 1))
	for _, by := range []float64{1024, 1. / 64} {
		out, got := next(t, st, before, middleBatch(c, middleRate, by))
		sameState(t, got, want, "", 1e-6)
		for name := range scalars {
			atMost(t, name, math.Abs(out[name]/scalars[name]-1), 1e-6)
		}
	}
}

// Both norms cover all parameters: one is of the unscaled gradient, the other of the weights before
// the step.
func TestNorms(t *testing.T) {
	c := stepConfig("sgd", 0.1, 0)
	st := newStepper(t, c, twinState)
	state := middleState(t, st, c)
	batch := middleBatch(c, middleRate, 64)
	scalars, _ := next(t, st, state, batch)
	training := trainingOf(t, c)
	out := run(t, training.Graph, state, batch)
	grads, weights := 0.0, 0.0
	for _, p := range training.Params {
		if !p.Statistic {
			grads = math.Hypot(grads, norm(wide(out[p.Name+gradSuffix]))/64)
			weights = math.Hypot(weights, norm(wide(state[p.Name])))
		}
	}
	atMost(t, "grad_norm", math.Abs(scalars["grad_norm"]/grads-1), 1e-6)
	atMost(t, "weight_norm", math.Abs(scalars["weight_norm"]/weights-1), 1e-6)
}

// A NaN or an infinity in any kind of parameter, in the first layer or the last, clears finite,
// even where a ReLU hides it from the loss; so does a gradient that overflows. Rejecting the step
// leaves the state untouched.
func TestFiniteSeesWhatIsNot(t *testing.T) {
	for _, block := range layouts(t) {
		c := twinConfig("relu", 16, block)
		st := newStepper(t, c, twinState)
		good := snapshot(t, st)
		bad := func(what string, state map[string]*tensor.Tensor, lossScale float64) {
			t.Helper()
			if err := st.Restore(state); err != nil {
				t.Fatal(err)
			}
			out, err := st.Step(middleBatch(c, 0.01, lossScale))
			if err != nil {
				t.Fatal(err)
			}
			st.Reject()
			if out["finite"] != 0 {
				t.Errorf("block %d, %s: finite is %v, gradient norm %v, loss %v", block, what, out["finite"], out["grad_norm"], out["loss"])
			}
			sameBits(t, snapshot(t, st), state)
		}
		for _, name := range []string{"backbone.conv1.weight", "backbone.bn1.weight", "backbone.bn1.bias",
			"backbone.layer3.0.downsample.0.weight", "backbone.layer4.1.bn2.bias", "expander.1.bias", "expander.6.weight"} {
			for _, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				state := maps.Clone(good)
				state[name] = good[name].Clone()
				state[name].Float32()[1] = float32(value)
				bad(fmt.Sprintf("%s is %v", name, value), state, 1)
			}
		}
		bad("the loss scale overflows", good, 1e38)
		if out, _ := next(t, st, good, middleBatch(c, 0.01, 1)); out["finite"] != 1 {
			t.Errorf("block %d: the good state gives %v", block, out)
		}
	}
}

func sameBits(t *testing.T, got, want map[string]*tensor.Tensor) {
	t.Helper()
	bits := func(x *tensor.Tensor) (out []uint32) {
		for _, v := range x.Float32() {
			out = append(out, math.Float32bits(v))
		}
		return out
	}
	for name, w := range want {
		if !slices.Equal(bits(got[name]), bits(w)) {
			t.Errorf("%s changed", name)
		}
	}
}
