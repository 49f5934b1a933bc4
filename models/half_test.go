package models

import (
	"math"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/nn"
	"vicreg/models/tensor"
)

// evaluator is reference.Run or reference.Rounded; the latter rounds every result to the type of
// its tensor, as a GPU does in mixed precision. No CPU has the kernels.
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

// errorsOf are relative errors of a step: of its loss, of the running statistics, and the median
// and worst of its gradients.
type errorsOf struct{ loss, running, middle, worst float64 }

// meanStep is the mean result of compareStep over several batches.
func meanStep(t *testing.T, c Config, evaluate evaluator, lossScale float64, batches []string) (mean errorsOf) {
	t.Helper()
	n := float64(len(batches))
	for _, batch := range batches {
		e := compareStep(t, c, evaluate, lossScale, batch)
		mean = errorsOf{mean.loss + e.loss/n, mean.running + e.running/n, mean.middle + e.middle/n, mean.worst + e.worst/n}
	}
	return mean
}

// compareStep returns the errors of a step on one batch, under a loss scale, relative to the
// portable graph in float32.
func compareStep(t *testing.T, c Config, evaluate evaluator, lossScale float64, batch string) (e errorsOf) {
	t.Helper()
	portable := c
	portable.Compute, portable.Device = 0, tensor.Host
	host, a := trainingOf(t, portable), trainingOf(t, c)
	state, images := twinState(host), views(c, batch)
	want := run(t, host.Graph, state, images)
	images[LossScale] = tensor.Of([]float32{float32(lossScale)})
	got := evaluate.on(t, a, state, images)
	var errs []float64
	for _, p := range a.Params {
		if p.Statistic { // after both views, relative to at least 1, the magnitude of activations
			for i, w := range wide(want[p.Name+nextSuffix]) {
				e.running = max(e.running, math.Abs(got[p.Name+nextSuffix][i]-w)/max(1, math.Abs(w)))
			}
		}
		if !p.Statistic && !shift.MatchString(p.Name) {
			errs = append(errs, distance(got[p.Name+gradSuffix], lossScale, wide(want[p.Name+gradSuffix])))
		}
	}
	e.loss, e.middle, e.worst = math.Abs(got["loss"][0]/wide(want["loss"])[0]-1), median(errs), slices.Max(errs)
	return e
}

// distance is ||x/by - want||/||want||.
func distance(x []float64, by float64, want []float64) float64 {
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = diff+(x[i]/by-w)*(x[i]/by-w), size+w*w
	}
	return math.Sqrt(diff / size)
}

// The graph for CUDA computes the same as the portable one: in float32 its gradients differ by
// rounding alone. The bounds are those of a small network and a batch of 8, which are sensitive to
// errors.
func TestGradientsOnCUDA(t *testing.T) {
	for _, c := range []Config{netConfig(t, "resnet18", "cifar", 8, 16, 8), netConfig(t, "resnet50", "imagenet", 4, 48, 8)} {
		for activation, bound := range map[nn.Activation]float64{"gelu": 1e-4, "relu": 1e-2} { // signs of activations near zero flip
			if activation == "relu" && c.Backbone.Depth == 50 {
				continue
			}
			for family, custom := range families {
				c.Device, c.CustomOps, c.Backbone.Activation, c.Expander.Activation = tensor.CUDA, custom, activation, activation
				e := compareStep(t, c, reference.Run, 1024, "")
				t.Logf("%s, resnet%d, %s, float32: %.1e", family, c.Backbone.Depth, activation, e)
				atMost(t, "the loss", e.loss, 1e-5)
				atMost(t, "a running statistic", e.running, 1e-5)
				atMost(t, "the median gradient", e.middle, bound)
			}
		}
	}
}

// In half precision the gradients are as accurate as those of the portable graph, which computes
// all sums on float32 copies. bfloat16 has three bits less than float16, so its bounds are eight
// times as wide, and it needs no loss scale. With ReLU, signs that rounding flips put the worst
// bfloat16 gradient of one batch anywhere from 0.55 to 1.2 off in any of the graphs, so the mean of
// several batches is compared there.
func TestHalfGradientsOnCUDA(t *testing.T) {
	for _, h := range []struct {
		compute    tensor.DType
		activation nn.Activation
		families   map[string]bool
		scale      float64
		wide       float64
		batches    []string
		most       float64 // bound on the error of the worst gradient
	}{
		{tensor.Float16, "gelu", families, 64, 1, []string{""}, 0.75},
		{tensor.BFloat16, "gelu", map[string]bool{"custom": true}, 1, 8, []string{""}, 0.75},
		{tensor.BFloat16, "relu", map[string]bool{"custom": true}, 1, 8, []string{"", "a", "b"}, 1}, // with the kernels that real runs use
	} {
		c := netConfig(t, "resnet18", "cifar", 8, 16, 8)
		c.Compute, c.Backbone.Activation, c.Expander.Activation = h.compute, h.activation, h.activation
		portable := meanStep(t, c, reference.Rounded, h.scale, h.batches)
		t.Logf("%v, %s, portable: %.1e", h.compute, h.activation, portable)
		c.Device = tensor.CUDA
		for family, custom := range h.families {
			c.CustomOps = custom
			e := meanStep(t, c, reference.Rounded, h.scale, h.batches)
			t.Logf("%v, %s, %s: %.1e", h.compute, h.activation, family, e)
			atMost(t, "the loss", e.loss, 3e-3*h.wide)
			atMost(t, "a running statistic", e.running, 5e-3*h.wide)
			atMost(t, "the median gradient", e.middle, 1.2*portable.middle)
			atMost(t, "the worst gradient", e.worst, min(1.5*portable.worst, h.most))
		}
	}
}
