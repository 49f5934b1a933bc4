package models

import (
	"math"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// evaluator is reference.Run, or reference.Rounded: every number rounded to the type
// of its tensor, as a GPU computes in mixed precision. No CPU has the kernels.
type evaluator func(*graph.Graph, map[string][]float64) (map[string][]float64, error)

func (evaluate evaluator) on(t *testing.T, a *Artifact, given ...map[string]*tensor.Tensor) map[string][]float64 {
	t.Helper()
	in := map[string][]float64{}
	for name, x := range pick(t, a.Graph, given...) {
		in[name] = numbers(x)
	}
	out, err := evaluate(a.Graph, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func numbers(x *tensor.Tensor) []float64 {
	if x.Type == tensor.Float32 {
		return wide(x)
	}
	var out []float64
	for _, v := range x.Data.([]uint8) {
		out = append(out, float64(v))
	}
	return out
}

// gradientErrors compares the gradients of a, under a loss scale, with those of the
// portable graph in float32.
func gradientErrors(t *testing.T, c Config, evaluate evaluator, lossScale float64) (loss, middle, worst float64) {
	t.Helper()
	portable := c
	portable.Compute, portable.Device = 0, tensor.Host
	host, a := trainingOf(t, portable), trainingOf(t, c)
	state, images := twinState(host), views(c, "")
	want := run(t, host.Graph, state, images)
	images[LossScale] = tensor.Of([]float32{float32(lossScale)})
	got := evaluate.on(t, a, state, images)
	var errs []float64
	for _, p := range a.Params {
		if !p.Statistic && !shift.MatchString(p.Name) {
			errs = append(errs, distance(got[p.Name+gradSuffix], lossScale, wide(want[p.Name+gradSuffix])))
		}
	}
	return math.Abs(got["loss"][0]/wide(want["loss"])[0] - 1), median(errs), slices.Max(errs)
}

// distance is ||x/by - want||/||want||.
func distance(x []float64, by float64, want []float64) float64 {
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = diff+(x[i]/by-w)*(x[i]/by-w), size+w*w
	}
	return math.Sqrt(diff / size)
}

// The graph for CUDA is the portable one in other words: in float32 its gradients
// are off by rounding alone. In half precision they are as near as those of the
// portable graph, which takes all sums over copies in float32. The bounds are those
// of a small network and a batch of 8, which forgive little.
func TestGradientsOnCUDA(t *testing.T) {
	basic, bottleneck := netConfig(t, "resnet18", "cifar", 8, 16, 8), netConfig(t, "resnet50", "imagenet", 4, 48, 8)
	for _, c := range []*Config{&basic, &bottleneck} {
		c.Backbone.Activation, c.Expander.Activation = "gelu", "gelu"
		c.Device = tensor.CUDA
		loss, middle, worst := gradientErrors(t, *c, reference.Run, 1024)
		t.Logf("resnet%d, float32: loss %.1e, gradients %.1e, worst %.1e", c.Backbone.Depth, loss, middle, worst)
		atMost(t, "the loss", loss, 1e-5)
		atMost(t, "the median gradient", middle, 1e-4)
	}
	basic.Compute = tensor.Float16
	loss, middle, worst := gradientErrors(t, basic, reference.Rounded, 64)
	basic.Device = tensor.Host
	_, hostMiddle, hostWorst := gradientErrors(t, basic, reference.Rounded, 64)
	t.Logf("float16: loss %.1e, gradients %.1e, worst %.1e; portable: gradients %.1e, worst %.1e", loss, middle, worst, hostMiddle, hostWorst)
	atMost(t, "the loss", loss, 3e-3)
	atMost(t, "the median gradient", middle, 1.2*hostMiddle)
	atMost(t, "the worst gradient", worst, 1.5*hostWorst)
}
