package models

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/optim"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/scripts/golden"
)

// The small network of scripts/golden/twin.py.
const (
	twinBatch = 16
	twinSize  = 16
)

func twinConfig(activation string, width, block int) Config {
	o, _ := optim.Default("sgd")
	act := nn.Activation(activation)
	return Config{
		Backbone:  ResNet{Depth: 18, Stem: "cifar", Width: width, Activation: act},
		Expander:  Expander{Widths: []int{32, 32, 32}, Activation: act},
		Loss:      Loss{25, 25, 1},
		Optimizer: o,
		Batch:     twinBatch, Size: twinSize, Block: block,
		Mean: [3]float64{0.4914, 0.4822, 0.4465}, Std: [3]float64{0.2470, 0.2435, 0.2616},
	}
}

// twinState is the initial state with the parameters of the twin, as in twin.py: no gamma is 1, no
// beta 0.
func twinState(a *Artifact) map[string]*tensor.Tensor {
	state := a.InitialState(0)
	for _, p := range a.Params {
		if p.Statistic {
			continue
		}
		scale, offset := 0.3, 0.0
		layer := p.Name[:strings.LastIndex(p.Name, ".")+1]
		switch {
		case len(p.Shape) > 1:
			scale = math.Sqrt(3 / float64(tensor.Elements(p.Shape[1:])))
		case strings.HasSuffix(p.Name, "weight"):
			scale, offset = 0.5, 1
		case state[layer+"running_mean"] == nil: // a bias, but not of a normalisation
			scale = 0.1
		}
		state[p.Name] = golden.Fill(p.Name, scale, offset, p.Shape...)
	}
	return state
}

// views are the images of a step; prefix is "" or, for instance, "step0/".
func views(c Config, prefix string) tensor.Batch {
	return tensor.Batch{
		View1:     golden.Pixels(prefix+View1, c.Batch, c.Size, c.Size, 3),
		View2:     golden.Pixels(prefix+View2, c.Batch, c.Size, c.Size, 3),
		LossScale: tensor.Of([]float32{1}),
	}
}

// layouts are the block sizes to test: 0 for the portable graph, and that of this machine's blocked
// kernels if it has any.
func layouts(t *testing.T) []int {
	if b := orttest.BlockSize(t); b > 0 {
		return []int{0, b}
	}
	return []int{0}
}

func session(t *testing.T, g *graph.Graph) *ort.Session {
	t.Helper()
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	return orttest.Session(t, m, ort.Options{})
}

// run feeds a graph those of the given tensors that it has inputs for.
func run(t *testing.T, g *graph.Graph, given ...map[string]*tensor.Tensor) tensor.Batch {
	t.Helper()
	out, err := session(t, g).Run(pick(t, g, given...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pick returns the inputs of a graph from the first map that has each.
func pick(t *testing.T, g *graph.Graph, given ...map[string]*tensor.Tensor) tensor.Batch {
	t.Helper()
	in := tensor.Batch{}
	for _, v := range g.Inputs {
		i := slices.IndexFunc(given, func(m map[string]*tensor.Tensor) bool { return m[v.Name] != nil })
		if i < 0 {
			t.Fatalf("nothing to feed %s with", v.Name)
		}
		in[v.Name] = given[i][v.Name]
	}
	return in
}

func trainingOf(t *testing.T, c Config) *Artifact {
	t.Helper()
	a, err := Training(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// off is ||got-want||/||want||; NaN if got contains one.
func off(got *tensor.Tensor, want []float64) float64 {
	diff, size := 0.0, 0.0
	for i, x := range got.Float32() {
		d := float64(x) - want[i]
		diff, size = diff+d*d, size+want[i]*want[i]
	}
	return math.Sqrt(diff / size)
}

// farthest is the largest difference over the largest element of want, or over least if all are
// smaller.
func farthest(got *tensor.Tensor, want []float64, least float64) float64 {
	diff, size := 0.0, least
	for i, x := range got.Float32() {
		diff, size = max(diff, math.Abs(float64(x)-want[i])), max(size, math.Abs(want[i]))
	}
	return diff / size
}

func wide(x *tensor.Tensor) []float64 {
	out := make([]float64, x.Len())
	for i, v := range x.Float32() {
		out[i] = float64(v)
	}
	return out
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// atMost reports an error above a bound; NaN is above every bound.
func atMost(t *testing.T, what string, err, bound float64) {
	t.Helper()
	if !(err <= bound) {
		t.Errorf("%s is off by %.2g, want at most %.2g", what, err, bound)
	}
}

// A whole training step against float64: the loss and its terms, the running statistics after both
// views, and every gradient. Where the activation has no kink, the gradients are as accurate as
// PyTorch's own in float32; with ReLU, rounding may flip the sign of an activation.
func TestTwinAgainstFloat64(t *testing.T) {
	for _, c := range []struct {
		name, activation string
		width            int
		smooth           bool
	}{
		{"twin_gelu", "gelu", 8, true},
		{"twin_identity", "identity", 8, true},
		{"twin_wide_identity", "identity", 16, true},
		{"twin_relu", "relu", 8, false},
	} {
		f := golden.Open(t, c.name)
		for _, block := range layouts(t) {
			t.Run(fmt.Sprintf("%s/block%d", c.name, block), func(t *testing.T) {
				config := twinConfig(c.activation, c.width, block)
				a := trainingOf(t, config)
				out := run(t, a.Graph, twinState(a), views(config, ""))
				checkTerms(t, f, out)
				checkStatistics(t, f, out)
				checkGradients(t, f, a, out, c.smooth)
			})
		}
	}
}

func checkTerms(t *testing.T, f *golden.Fixture, out tensor.Batch) {
	for _, name := range []string{"loss", "invariance", "variance", "covariance"} {
		e := off(out[name], f.Floats(name))
		t.Logf("%s: %.1e", name, e)
		atMost(t, name, e, 1e-5)
	}
}

// checkStatistics measures the errors of means and variances relative to at least 1, the magnitude
// of the activations, since a mean may lie anywhere near 0.
func checkStatistics(t *testing.T, f *golden.Fixture, out tensor.Batch) {
	worst, count := 0.0, 0
	for name := range f.Tensors {
		if inner, ok := strings.CutPrefix(name, "running/"); ok {
			e := farthest(out[inner+nextSuffix], f.Floats(name), 1)
			worst, count = max(worst, e), count+1
			atMost(t, inner, e, 1e-6)
		}
	}
	t.Logf("%d running statistics: worst %.1e", count, worst)
	if count < 40 {
		t.Errorf("compared %d running statistics only", count)
	}
}

// checkGradients applies the bounds of a smooth network or of one with kinks, widened to PyTorch's
// own error where float32 cannot do better.
func checkGradients(t *testing.T, f *golden.Fixture, a *Artifact, out tensor.Batch, smooth bool) {
	var errs, torch []float64
	largest, zero := 0.0, f.Names("zero_grad")
	for _, p := range a.Params {
		if p.Statistic || slices.Contains(zero, p.Name) {
			continue
		}
		want := f.Floats("grad/" + p.Name)
		e, theirs := off(out[p.Name+gradSuffix], want), f.Floats("f32_error/" + p.Name)[0]
		errs, torch = append(errs, e), append(torch, theirs)
		largest = max(largest, norm(want))
		bound := 1e-2
		if smooth {
			bound = max(1e-4, 2*theirs)
		}
		atMost(t, "gradient of "+p.Name, e, bound)
	}
	t.Logf("%d gradients: median %.1e worst %.1e; PyTorch: median %.1e worst %.1e",
		len(errs), median(errs), slices.Max(errs), median(torch), slices.Max(torch))
	if smooth {
		// Where PyTorch's own median is at the bound, the order of summation, which depends on the
		// CPU, decides on which side of it either falls.
		atMost(t, "the median gradient", median(errs), max(5e-6, 1.5*median(torch)))
	}
	for _, name := range zero {
		atMost(t, "the gradient of "+name+", which is 0,", norm(wide(out[name+gradSuffix]))/largest, 1e-6)
	}
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}
