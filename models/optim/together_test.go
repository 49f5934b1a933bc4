package optim

import (
	"math"
	"testing"

	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// A single NaN or infinity in a gradient or a weight makes the step not finite. A step whose
// squared norm cancels to zero has length zero.
func TestTogetherAtTheEdge(t *testing.T) {
	c := Config{Name: "lars", Momentum: 0.9, WeightDecay: 0.5, Trust: 0.001}
	g := stepGraph(t, c, tensor.CUDA, true)
	given := func(name string, x float64) map[string][]float64 {
		in := map[string][]float64{}
		for _, v := range g.Inputs {
			for range v.Elements() {
				in[v.Name] = append(in[v.Name], 1)
			}
		}
		in["loss_scale"] = []float64{2}
		if name != "" {
			in[name][0] = x
		}
		return in
	}
	for _, name := range []string{"lone.grad", "gain3.grad", "kernel1", "odd"} {
		for x, want := range map[float64]float64{math.NaN(): 0, math.Inf(1): 0, math.Inf(-1): 0, 1e18: 1} {
			out, err := reference.Run(g, given(name, x))
			if err != nil {
				t.Fatal(err)
			}
			if got := out["finite"][0]; got != want {
				t.Errorf("%s holds %v: finite is %v", name, x, got)
			}
		}
	}
	in := given("", 0)
	for i := range in["lone.grad"] {
		in["lone.grad"][i] = -1 // cancels with the decay of 0.5 under a loss scale of 2
	}
	out, err := reference.Run(g, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range out["new/lone"] {
		if math.Abs(x-0.1) > 1e-6 { // the momentum alone
			t.Errorf("lone becomes %v", out["new/lone"])
			break
		}
	}
}
