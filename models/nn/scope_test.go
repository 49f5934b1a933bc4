package nn

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// layer builds a small network under a scope: convolution, normalisation, linear.
func layer(s *Scope, x *graph.Value) *graph.Value {
	x = ConvNorm(s, x, "conv1", "bn1", 32, graph.Square(3, 1, 1), Norm{Activation: "relu"})
	y := s.G.ReduceMean(x, false, 2, 3)
	return Linear(s.Sub("fc"), y, 64, true)
}

func images(g *graph.Graph, name string) *graph.Value {
	return g.Input(name, tensor.Float32, 4, 16, 8, 8)
}

func named(t *testing.T, s *Scope, name string) *Param {
	t.Helper()
	for _, p := range s.Params() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no parameter %s", name)
	return nil
}

func built(t *testing.T, mode Mode, f func(s *Scope)) *Scope {
	t.Helper()
	var s *Scope
	if _, err := graph.Build("test", func(g *graph.Graph) { s = NewScope(g, mode); f(s) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// moments are the mean, standard deviation and largest absolute value.
func moments(x []float32) (mean, std, largest float64) {
	for _, v := range x {
		mean += float64(v) / float64(len(x))
		largest = max(largest, math.Abs(float64(v)))
	}
	for _, v := range x {
		std += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	return mean, math.Sqrt(std), largest
}

// Convolutions are normal with variance 2/fan-out, linear layers uniform within 1/sqrt(inputs);
// normalisations start as the identity.
func TestInitialValues(t *testing.T) {
	s := built(t, Train, func(s *Scope) {
		x := ConvNorm(s, images(s.G, "x"), "conv1", "bn1", 64, graph.Square(3, 2, 1), Norm{ZeroInit: true})
		Linear(s.Sub("fc"), s.G.ReduceMean(x, false, 2, 3), 300, true)
	})
	want := math.Sqrt(2. / (64 * 9))
	conv := named(t, s, "conv1.weight").InitialValue(1).Float32() // 9216 values: the std is within 1 %
	if mean, std, largest := moments(conv); math.Abs(mean) > 0.05*want || math.Abs(std/want-1) > 0.03 || largest < 3*want {
		t.Errorf("conv1.weight: mean %.3g std %.3g largest %.3g, want 0 and %.3g", mean, std, largest, want)
	}
	for name, count := range map[string]int{"fc.weight": 300 * 64, "fc.bias": 300} {
		x := named(t, s, name).InitialValue(1).Float32()
		mean, std, largest := moments(x)
		if bound := 1. / 8; len(x) != count || math.Abs(mean) > 0.1*bound || math.Abs(std*math.Sqrt(3)/bound-1) > 0.1 || largest > bound || largest < 0.97*bound {
			t.Errorf("%s: %d values, mean %.3g std %.3g largest %.3g", name, len(x), mean, std, largest)
		}
	}
	for name, want := range map[string]float32{"bn1.weight": 0, "bn1.bias": 0, "bn1.running_mean": 0, "bn1.running_var": 1} {
		if x := named(t, s, name).InitialValue(1).Float32(); len(x) != 64 || slices.Min(x) != want || slices.Max(x) != want {
			t.Errorf("%s starts at %v, want %v", name, x[:1], want)
		}
	}
}

// A value depends on the seed and the name alone, not on the layers before it.
func TestInitialValuesFollowFromSeedAndName(t *testing.T) {
	one := built(t, Train, func(s *Scope) { layer(s, images(s.G, "x")) })
	other := built(t, Train, func(s *Scope) {
		layer(s.Sub("first"), images(s.G, "y"))
		layer(s, images(s.G, "x"))
	})
	value := func(s *Scope, name string, seed uint64) []float32 {
		return named(t, s, name).InitialValue(seed).Float32()
	}
	for _, name := range []string{"conv1.weight", "fc.weight", "fc.bias"} {
		if !slices.Equal(value(one, name, 7), value(other, name, 7)) {
			t.Errorf("%s depends on what stands before it", name)
		}
		if slices.Equal(value(one, name, 7), value(one, name, 8)) || slices.Equal(value(other, name, 7), value(other, "first."+name, 7)) {
			t.Errorf("%s does not depend on the seed or on the name", name)
		}
	}
}

// The same names refer to the same parameters, and running statistics pass from the first use to
// the second.
func TestSecondUseSharesParameters(t *testing.T) {
	var after []*graph.Value
	s := built(t, Train, func(s *Scope) {
		for _, view := range []string{"x", "y"} {
			layer(s, images(s.G, view))
			after = append(after, s.set.byName["bn1.running_mean"].Out)
		}
	})
	var names []string
	for _, p := range s.Params() {
		names = append(names, p.Name)
	}
	want := "[conv1.weight bn1.weight bn1.bias bn1.running_mean bn1.running_var fc.weight fc.bias]"
	if fmt.Sprint(names) != want {
		t.Errorf("parameters %v, want %s", names, want)
	}
	mean := named(t, s, "bn1.running_mean")
	if !mean.Statistic || mean.Out != after[1] || !dependsOn(after[1], after[0]) || !dependsOn(after[0], mean.In) {
		t.Error("the second view does not go on from the statistics of the first")
	}
	if p := named(t, s, "bn1.weight"); p.Statistic || p.Out != p.In {
		t.Error("a layer changes its parameter")
	}
}

func dependsOn(v, on *graph.Value) bool {
	if v == on {
		return true
	}
	return v.Node != nil && slices.ContainsFunc(v.Node.Inputs, func(x *graph.Value) bool { return x != nil && dependsOn(x, on) })
}

// In evaluation nothing is updated.
func TestEvaluationKeepsStatistics(t *testing.T) {
	s := built(t, Eval, func(s *Scope) { layer(s, images(s.G, "x")) })
	for _, p := range s.Params() {
		if p.Out != p.In {
			t.Errorf("%s is updated", p.Name)
		}
	}
}

// A second use with another shape is an error that names the parameter and the line.
func TestSecondUseWithAnotherShapeFails(t *testing.T) {
	var line int
	_, err := graph.Build("test", func(g *graph.Graph) {
		s := NewScope(g, Train).Sub("expander")
		x := g.Input("x", tensor.Float32, 4, 16)
		Linear(s.Sub("0"), x, 8, false)
		_, _, line, _ = runtime.Caller(0)
		Linear(s.Sub("0"), x, 9, false)
	})
	want := "expander.0.weight has shape [9 16] and was first used with [8 16]"
	if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), fmt.Sprintf("scope_test.go:%d: ", line+1)) {
		t.Errorf("got %v, want line %d: %s", err, line+1, want)
	}
}

func TestUnknownActivationFails(t *testing.T) {
	_, err := graph.Build("test", func(g *graph.Graph) { Activation("swish").Apply(g, images(g, "x")) })
	if err == nil || !strings.HasSuffix(err.Error(), `unknown activation "swish"`) {
		t.Errorf("got %v", err)
	}
}
