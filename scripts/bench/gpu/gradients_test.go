package main

import (
	"math"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/steps"
)

// No convolution of an awakened network has a gradient of 0, which would leave only weight decay in
// its momentum: an error in computing it would show.
func TestEveryGradientCounts(t *testing.T) {
	s := steps.R18.Small().On(ort.Device{}, "fp32", 2)
	_, state, err := stepOnce(s, noise(s.Batch, s.Size, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, v := range state {
		if momentum(name) && len(v.Shape) == 4 {
			seen++
			const decay = 0.1 // larger than any weight decay
			if size := norm(v.Float32(), nil); size < decay {
				t.Errorf("%s has the size %.2g", name, size)
			}
		}
	}
	if seen != 20 {
		t.Errorf("%d convolutions, want 20", seen)
	}
}

// The largest difference comes first, NaN before all others, and tensors that are neither momentum
// nor statistics are excluded.
func TestDifferences(t *testing.T) {
	state := func(weight, gradient, tiny, mean float32) map[string]*tensor.Tensor {
		all := map[string]*tensor.Tensor{}
		for name, v := range map[string]float32{"w": weight, "w.momentum": gradient, "b.momentum": tiny, "n.running_mean": mean} {
			all[name] = tensor.New(tensor.Float32, 1)
			all[name].Float32()[0] = v
		}
		return all
	}
	want := state(1, 2, 1e-9, 4)
	for _, c := range []struct {
		got  map[string]*tensor.Tensor
		name string
		off  float64
	}{
		{state(5, 2.5, 1e-9, 4), "w.momentum", 0.25},
		{state(1, 2, 2e-9, 5), "n.running_mean", 0.25},
		{state(1, 2, float32(math.NaN()), 8), "b.momentum", math.Inf(1)},
		{state(1, 2, 2e-6, 4), "b.momentum", 1e-2}, // of the negligible size, 2e-4
	} {
		d := differences(want, c.got)
		if len(d) != 3 || d[0].name != c.name || math.Abs(d[0].off/c.off-1) > 1e-3 && d[0].off != c.off {
			t.Errorf("%v, want %s with %v first", d, c.name, c.off)
		}
	}
}
