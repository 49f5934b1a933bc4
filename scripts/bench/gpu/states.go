package main

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"vicreg/models/tensor"
)

// negligible is the smallest norm at which a gradient counts, relative to that of all gradients:
// some, such as those of a bias before a normalisation, are only rounding errors.
const negligible = 1e-4

// difference is the relative error of a tensor.
type difference struct {
	name string
	off  float64
}

// compareStates prints the tensors with the largest relative errors among those that a step at a
// rate of 0 changes, and returns the largest error.
func compareStates(name string, want, got map[string]*tensor.Tensor) float64 {
	all := differences(want, got)
	for _, d := range all[:min(len(all), 4)] {
		say("%s: %.1e  %s", name, d.off, d.name)
	}
	return all[0].off
}

// differences returns the relative errors of momenta and statistics, largest first.
func differences(want, got map[string]*tensor.Tensor) (all []difference) {
	squares := map[bool]float64{} // summed over momenta (true) and over statistics (false)
	compared := func(name string) bool { return momentum(name) || strings.Contains(name, ".running_") }
	for name, w := range want {
		if compared(name) {
			squares[momentum(name)] += math.Pow(norm(w.Float32(), nil), 2)
		}
	}
	for name, w := range want {
		if !compared(name) {
			continue
		}
		size := max(norm(w.Float32(), nil), negligible*math.Sqrt(squares[momentum(name)]))
		off := norm(got[name].Float32(), w.Float32()) / size
		if math.IsNaN(off) {
			off = math.Inf(1)
		}
		all = append(all, difference{name, off})
	}
	slices.SortFunc(all, func(x, y difference) int { return cmp.Compare(y.off, x.off) })
	return all
}

func momentum(name string) bool { return strings.HasSuffix(name, ".momentum") }

// norm returns the norm of x - y, or of x if y is nil.
func norm(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		d := float64(v)
		if y != nil {
			d -= float64(y[i])
		}
		sum += d * d
	}
	return math.Sqrt(sum)
}
