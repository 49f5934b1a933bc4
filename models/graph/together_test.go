package graph_test

import (
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// The copies in use become one node before all others, including those inside composites, and
// nothing else about the graph changes.
func TestHalvesTogether(t *testing.T) {
	for _, typ := range []tensor.DType{tensor.Float16, tensor.BFloat16} {
		testHalvesTogether(t, typ)
	}
}

func testHalvesTogether(t *testing.T, typ tensor.DType) {
	make := func(finish func(g *graph.Graph)) *graph.Graph {
		return build(t, "halves", func(g *graph.Graph) {
			a, b, n := g.Input("a", tensor.Float32, 3), g.Input("b", tensor.Float32, 2, 3), g.Input("n", tensor.Int64, 3)
			computed := g.Mul(a, a)
			g.Cast(b, typ) // unused
			in := []value{a, b, computed}
			y := g.Composite("Layer", nil, in, func(func(string, value)) []value {
				half := g.Cast(computed, typ)
				return []value{g.Add(g.Mul(g.CastOnce(a, typ), half), g.CastOnce(b, typ))}
			})[0]
			y = g.Add(y, g.Add(g.CastOnce(a, typ), g.Cast(n, typ)))
			y = g.Add(y, g.Cast(g.Full(0.3, 3), typ))
			g.Output("y", g.Cast(y, tensor.Float32))
			finish(g)
		})
	}
	apart, one := make(func(*graph.Graph) {}), make(func(g *graph.Graph) { g.HalvesTogether(typ) })
	in := randomInputs(apart)
	want, err := reference.Rounded(apart, in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := reference.Rounded(one, in)
	if err != nil || !slices.Equal(got["y"], want["y"]) {
		t.Errorf("%v, want %v (%v)", got["y"], want["y"], err)
	}
	m, err := one.Model()
	if err != nil {
		t.Fatal(err)
	}
	casts := 0
	for _, n := range m.Graph.Node {
		if n.OpType == "Cast" {
			casts++
		}
	}
	first := m.Graph.Node[0]
	if of := slices.Sorted(slices.Values(first.Input[1:])); first.OpType != "Halves" || !slices.Equal(of, []string{"a", "b"}) || casts != 4 {
		t.Errorf("%v: %v and %d casts:\n%s", typ, first, casts, one)
	}
}

// Without copies the graph stays as it is.
func TestNoHalvesTogether(t *testing.T) {
	g := build(t, "none", func(g *graph.Graph) {
		x := g.Input("x", tensor.Float32, 2)
		g.Output("y", g.Relu(x))
	})
	g.HalvesTogether(tensor.Float16)
	if len(g.Nodes) != 1 {
		t.Errorf("%s", g)
	}
}
