package pipeline

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/pipeline/checkpoint"
)

// verdicts returns a sequence of alternating runs of accepted and rejected steps, accepted first.
func verdicts(runs ...int) (accepted []bool) {
	for i, n := range runs {
		accepted = append(accepted, slices.Repeat([]bool{i%2 == 0}, n)...)
	}
	return accepted
}

func TestLossScale(t *testing.T) {
	for name, c := range map[string]struct {
		first  float64
		steady int
		steps  []bool // accepted, rejected, accepted ...
		scale  float64
		left   int // consecutive good steps at the end
	}{
		"a bad step halves it":             {firstScale, 7, verdicts(0, 1), firstScale / 2, 0},
		"three bad steps":                  {firstScale, 0, verdicts(0, 3), firstScale / 8, 0},
		"good steps leave it":              {firstScale, 0, verdicts(growAfter - 1), firstScale, growAfter - 1},
		"enough of them double it":         {firstScale, 0, verdicts(growAfter), 2 * firstScale, 0},
		"and again":                        {firstScale, 0, verdicts(2*growAfter + 5), 4 * firstScale, 5},
		"in a row":                         {firstScale, 0, verdicts(growAfter-1, 1, growAfter-1), firstScale / 2, growAfter - 1},
		"counting on after a resume":       {firstScale, growAfter - 1, verdicts(1), 2 * firstScale, 0},
		"never below the least":            {2, 0, verdicts(0, 5), minScale, 0},
		"it comes back from there":         {minScale, 0, verdicts(growAfter), 2, 0},
		"never above the most":             {maxScale, 0, verdicts(3 * growAfter), maxScale, 0},
		"from the most a bad step is half": {maxScale, 3, verdicts(0, 1), maxScale / 2, 0},
	} {
		for p, want := range map[precision]checkpoint.Position{
			fp16: {LossScale: c.scale, Steady: c.left},
			fp32: {LossScale: c.first, Steady: c.steady}, // it is 1 there and stays so
			tf32: {LossScale: c.first, Steady: c.steady},
			bf16: {LossScale: c.first, Steady: c.steady},
		} {
			got := checkpoint.Position{LossScale: c.first, Steady: c.steady}
			for _, accepted := range c.steps {
				moveScale(&got, p, accepted)
			}
			if got != want {
				t.Errorf("%s, %s: %+v, want %+v", name, p, got, want)
			}
		}
	}
}

// A run keeps its loss scale as long as it stays in float16.
func TestBeginScale(t *testing.T) {
	for _, c := range []struct {
		before, now precision
		at          checkpoint.Position
		scale       float64
		steady      int
	}{
		{"", fp16, checkpoint.Position{}, firstScale, 0},
		{"", fp32, checkpoint.Position{}, 1, 0},
		{fp16, fp16, checkpoint.Position{LossScale: 512, Steady: 9}, 512, 9},
		{fp16, fp32, checkpoint.Position{LossScale: 512, Steady: 9}, 1, 0},
		{fp32, fp16, checkpoint.Position{LossScale: 1}, firstScale, 0},
		{tf32, fp16, checkpoint.Position{LossScale: 1}, firstScale, 0},
		{bf16, fp16, checkpoint.Position{LossScale: 1}, firstScale, 0},
		{fp16, bf16, checkpoint.Position{LossScale: 512, Steady: 9}, 1, 0},
		{fp16, fp16, checkpoint.Position{LossScale: math.Inf(1), Steady: 9}, firstScale, 0},
		{fp16, fp16, checkpoint.Position{LossScale: math.NaN()}, firstScale, 0},
		{fp16, fp16, checkpoint.Position{}, firstScale, 0},
	} {
		got := c.at
		if beginScale(&got, c.before, c.now); got.LossScale != c.scale || got.Steady != c.steady {
			t.Errorf("%q to %s at %+v: %+v", c.before, c.now, c.at, got)
		}
	}
}

// The scale falls until the gradient is finite, the run continues, and it grows again; each step
// uses the scale left by its predecessors.
func TestARunFindsItsLossScale(t *testing.T) {
	const halvings = 24 // from maxScale to minScale
	try := func(bad int) (*run, *fakeStepper, error) {
		f := &fakeStepper{finite: func(step int) bool { return step >= bad }}
		r := fakeRun(t, f, 20)
		r.Precision, r.position.LossScale, r.position.Steady = fp16, maxScale, growAfter-1
		return r, f, r.loop(t.Context(), io.Discard, io.Discard)
	}
	if _, f, err := try(halvings + 1); err == nil || f.steps != halvings+1 {
		t.Errorf("%v after %d steps, the last with the least scale", err, f.steps)
	}
	r, f, err := try(halvings)
	if err != nil {
		t.Fatal(err)
	}
	if f.rejected != 24 || f.accepted != 16 || r.position.LossScale != minScale || r.position.Steady != 16 {
		t.Errorf("%d rejected, %d accepted, %+v", f.rejected, f.accepted, r.position)
	}
	for i, scale := range f.scales {
		if want := math.Max(maxScale/math.Pow(2, float64(i)), minScale); scale != want {
			t.Fatalf("step %d had a scale of %g, want %g", i, scale, want)
		}
	}
	if lines := metricsOf(t, r); !strings.Contains(lines, `"loss_scale":16777216,`) || strings.Count(lines, `"loss_scale":1,`) != 16 {
		t.Errorf("metrics:\n%s", lines)
	}
}

// Scale and count of good steps are saved: an interrupted run adjusts them like an uninterrupted
// one.
func TestTheLossScaleOutlivesTheProcess(t *testing.T) {
	finite := func(step int) bool { return step != 2 }
	whole, parts := &fakeStepper{finite: finite}, &fakeStepper{finite: finite}
	r := fakeRun(t, whole, 6)
	r.Precision, r.position.LossScale, r.position.Steady = fp16, 1024, growAfter-2
	if err := r.loop(t.Context(), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	s := fakeRun(t, parts, 6)
	s.Precision, s.position = fp16, checkpoint.Position{LossScale: 1024, Steady: growAfter - 2}
	for s.position.Epoch < 6 {
		s.timeLimit = 1 // stop and save after every step
		if err := s.loop(t.Context(), io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
		s.loader.Close()
		s.position = latest(t, s.out).Position
		beginScale(&s.position, fp16, fp16)
	}
	if !slices.Equal(whole.scales, parts.scales) || r.position != s.position {
		t.Errorf("scales %v and %v\nat %+v and %+v", whole.scales, parts.scales, r.position, s.position)
	}
	if want := []float64{1024, 1024, 2048, 1024, 1024}; !slices.Equal(whole.scales[:5], want) {
		t.Errorf("scales %v, want %v", whole.scales[:5], want)
	}
}
