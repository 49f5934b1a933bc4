package models

import (
	"fmt"
	"math"
	"testing"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/tensor"
	"vicreg/scripts/golden"
)

// lossHead is the loss of inputs z1, z2 [N, D], with the gradients of the loss times the input
// loss_scale.
func lossHead(g *graph.Graph, n, d int) {
	z1, z2 := g.Input("z1", tensor.Float32, n, d), g.Input("z2", tensor.Float32, n, d)
	terms := Loss{25, 25, 1}.Forward(g, z1, z2)
	forward{terms: terms}.outputs(g)
	dz := grad.Gradients(g, terms.Loss, g.Input(LossScale, tensor.Float32, 1), []*graph.Value{z1, z2})
	g.Output("dz1", dz[0])
	g.Output("dz2", dz[1])
}

func build(t *testing.T, f func(g *graph.Graph)) *graph.Graph {
	t.Helper()
	g, err := graph.Build("test", f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// float32s returns a fixture's values as a float32 tensor.
func float32s(f *golden.Fixture, name string) *tensor.Tensor {
	out := tensor.New(tensor.Float32, f.Tensors[name].Shape...)
	for i, x := range f.Floats(name) {
		out.Float32()[i] = float32(x)
	}
	return out
}

// lossCases are the shapes [N, D] in the fixture: N smaller than D, larger and equal, the smallest
// possible, and a large one.
var lossCases = [][2]int{{8, 32}, {32, 8}, {16, 16}, {2, 4}, {48, 96}}

// The terms, their sum and its gradients match the formula in float64.
func TestLossAgainstFloat64(t *testing.T) {
	f := golden.Open(t, "loss")
	for _, shape := range lossCases {
		name := fmt.Sprintf("n%dd%d", shape[0], shape[1])
		t.Run(name, func(t *testing.T) {
			in := tensor.Batch{"z1": float32s(f, name+"/z1"), "z2": float32s(f, name+"/z2"), LossScale: tensor.Of([]float32{1})}
			out := run(t, build(t, func(g *graph.Graph) { lossHead(g, shape[0], shape[1]) }), in)
			for key, got := range out {
				e := farthest(got, f.Floats(name+"/"+key), 0)
				t.Logf("%s: %.1e", key, e)
				atMost(t, key, e, 1e-6)
			}
		})
	}
}

// The covariance of N images is computed with the smaller of the D x D and N x N matrices; both
// forms have the same value and gradient.
func TestCovarianceFormsAgree(t *testing.T) {
	f := golden.Open(t, "loss")
	for _, shape := range lossCases {
		n, d := shape[0], shape[1]
		z := float32s(f, fmt.Sprintf("n%dd%d/z1", n, d))
		out := run(t, build(t, func(g *graph.Graph) {
			x := g.Input("z", tensor.Float32, n, d)
			zc := g.Sub(x, g.ReduceMean(x, true, 0))
			for name, gram := range map[string]bool{"gram": true, "square": false} {
				c := frobenius(g, zc, gram)
				g.Output(name, g.Reshape(c, 1))
				g.Output(name+".dz", grad.Gradients(g, c, g.Float(1), []*graph.Value{x})[0])
			}
		}), tensor.Batch{"z": z})
		for _, suffix := range []string{"", ".dz"} {
			e := farthest(out["gram"+suffix], wide(out["square"+suffix]), 0)
			t.Logf("N=%d D=%d %s: %.1e", n, d, suffix, e)
			atMost(t, fmt.Sprintf("N=%d D=%d: gram%s against square", n, d, suffix), e, 1e-5)
		}
	}
}

// No D x D matrix is built where N x N is smaller, and vice versa.
func TestCovarianceTakesTheSmallerForm(t *testing.T) {
	for _, shape := range [][2]int{{8, 32}, {32, 8}} {
		g := build(t, func(g *graph.Graph) { lossHead(g, shape[0], shape[1]) })
		small, large := min(shape[0], shape[1]), max(shape[0], shape[1])
		found := map[int]bool{}
		for _, n := range g.Nodes {
			if s := n.Outputs[0].Shape; len(s) == 2 && s[0] == s[1] {
				found[s[0]] = true
			}
		}
		if !found[small] || found[large] {
			t.Errorf("N=%d D=%d: square matrices of sizes %v", shape[0], shape[1], found)
		}
	}
}

// Coefficients scale their own terms only; 0 removes a term.
func TestLossCoefficients(t *testing.T) {
	f := golden.Open(t, "loss")
	in := tensor.Batch{"z1": float32s(f, "n8d32/z1"), "z2": float32s(f, "n8d32/z2")}
	for _, l := range []Loss{{25, 25, 1}, {25, 0, 1}, {1, 3, 0}, {0, 1, 0.5}} {
		out := run(t, build(t, func(g *graph.Graph) {
			forward{terms: l.Forward(g, g.Input("z1", tensor.Float32, 8, 32), g.Input("z2", tensor.Float32, 8, 32))}.outputs(g)
		}), in)
		term := func(name string) float64 { return f.Floats("n8d32/" + name)[0] }
		want := l.Invariance*term("invariance") + l.Variance*term("variance") + l.Covariance*term("covariance")
		if got := float64(out["loss"].Float32()[0]); !(math.Abs(got/want-1) <= 1e-6) {
			t.Errorf("%+v: loss %v, want %v", l, got, want)
		}
	}
}
