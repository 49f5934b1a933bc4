package graph_test

import (
	"math"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// A Standard graph computes FusedMatMul with standard operators.
func TestStandardSpellsFusedMatMulOut(t *testing.T) {
	fused := func(g *graph.Graph) {
		a, b := g.Input("a", tensor.Float32, 2, 5, 3, 4), g.Input("b", tensor.Float32, 5, 6, 4)
		c := g.Input("c", tensor.Float32, 3, 7)
		g.Output("nt", g.FusedMatMul(a, b, false, true, 0.25))
		g.Output("tn", g.FusedMatMul(a, c, true, false, 1))
		g.Output("tt", g.FusedMatMul(c, g.Transpose(c, 1, 0), true, true, -2))
	}
	inputs := map[string][]float64{}
	for name, n := range map[string]int{"a": 120, "b": 120, "c": 21} {
		for i := range n {
			inputs[name] = append(inputs[name], math.Sin(float64(i*i+len(name))))
		}
	}
	want := orttest.Run(t, build(t, "fused", fused), inputs)
	standard := build(t, "standard", func(g *graph.Graph) {
		g.Standard = true
		fused(g)
	})
	for _, n := range standard.Nodes {
		if n.Domain != "" {
			t.Errorf("%s is not a standard operator", n.Key())
		}
	}
	for name, got := range orttest.Run(t, standard, inputs) {
		far := func(a, b float64) int {
			if !(math.Abs(a-b) <= 1e-5) {
				return 1
			}
			return 0
		}
		if slices.CompareFunc(got, want[name], far) != 0 {
			t.Errorf("%s: got %v, fused %v", name, got, want[name])
		}
	}
}
