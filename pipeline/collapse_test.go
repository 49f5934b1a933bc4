package pipeline

import (
	"bytes"
	"io"
	"math"
	"strings"
	"testing"
)

// Figures of healthy runs of various lengths, and of collapsed ones.
func TestLooksCollapsed(t *testing.T) {
	var c Config
	c.Schedule.Warmup = 9 // with 8 steps per epoch
	held := func(images int, spread, rank float64) *Health {
		return &Health{Images: images, Spread: spread, Rank: rank}
	}
	for _, f := range []struct {
		what     string
		epoch    int
		variance float64
		health   *Health
		want     string
	}{
		{"healthy", 2, 0.69, held(72, 0.81, 15), ""},
		{"healthy, after few steps", 2, 0.66, held(8, 0.23, 5), ""},
		{"healthy, two images only", 2, 0.65, held(2, 0.06, 1), ""},
		{"healthy, not watched", 3, 0.69, nil, ""},
		{"means of 0..255", 2, 0.73, held(19, 0.004, 1.04), "held-out images have spread 0.00 and rank 1"},
		{"low spread, but in many directions", 2, 0.73, held(19, 0.09, 2), ""},
		{"low rank, but spread", 2, 0.73, held(19, 0.1, 1), ""},
		{"two images in one point", 2, 0.73, held(2, 0.001, 1), ""},
		{"two images in one point, and without variance", 3, 0.96, held(2, 0.001, 1), "a variance term of 0.96, where 1 is a std of 0"},
		{"as few as count", 2, 0.73, held(8, 0.09, 1.9), "held-out images have spread 0.09 and rank 2"},
		{"fewer than count", 2, 0.73, held(7, 0.09, 1.9), ""},
		{"in the warm-up", 1, 0.99, held(19, 0, 1), ""},
		{"without variance term", 3, 0.96, held(72, 0.16, 10), "a variance term of 0.96, where 1 is a std of 0"},
		{"without variance term, not watched", 3, 0.99, nil, "a variance term of 0.99, where 1 is a std of 0"},
		{"warm-up within the epoch", 2, 0.99, nil, ""},
		{"no step was taken", 3, math.NaN(), nil, ""},
		{"vectors are no numbers", 3, 0.7, held(72, math.NaN(), math.NaN()), ""},
	} {
		if got := c.looks(f.epoch, 8, f.variance, f.health); got != f.want {
			t.Errorf("%s: %q, want %q", f.what, got, f.want)
		}
	}
}

func TestACollapseIsToldOfOnceUntilItIsOver(t *testing.T) {
	var c collapse
	var out bytes.Buffer
	for epoch, found := range []string{"", "a", "a", "b", "", "c", "c"} {
		c.warn(&out, epoch, found, "")
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "vicreg train: epoch 1: the embeddings look collapsed: a; ") || !strings.HasPrefix(lines[1], "vicreg train: epoch 5: the embeddings look collapsed: c; ") {
		t.Errorf("said\n%s", &out)
	}
}

// A run reports a collapse once on stderr, and in its metrics for every epoch.
func TestARunTellsOfItsCollapse(t *testing.T) {
	r := fakeRun(t, &fakeStepper{finite: func(int) bool { return true }, variance: 0.98}, 3)
	r.Schedule.Warmup = 2
	var errs bytes.Buffer
	if err := r.loop(t.Context(), io.Discard, &errs); err != nil {
		t.Fatal(err)
	}
	if said := errs.String(); strings.Count(said, "look collapsed") != 1 || !strings.Contains(said, "vicreg train: epoch 2: the embeddings look collapsed: a variance term of 0.98, ") {
		t.Errorf("said\n%s", said)
	}
	lines := metricsOf(t, r)
	if strings.Count(lines, `"collapsed":true,"epoch":`) != 2 || strings.Count(lines, `"bad_images":0,"collapsed":false,"epoch":1,"kind":"epoch"`) != 1 {
		t.Errorf("metrics:\n%s", lines)
	}
}

// Settings that let the embeddings collapse draw a warning before the first step, but are accepted.
func TestTrainWithoutVarianceTerm(t *testing.T) {
	data := writeImages(t, 16)
	const doubt = "vicreg train: --variance 0: nothing keeps the embeddings from collapsing"
	printed, err := train(t, t.Context(), "--data", data, "--out", t.TempDir(), "--variance", "0", "--covariance", "0", "--holdout", "0", "--time-limit", "1ns")
	if err != nil || strings.Count(printed, doubt) != 1 {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	if printed, err = train(t, t.Context(), "--data", data, "--out", t.TempDir(), "--time-limit", "1ns"); err != nil || strings.Contains(printed, doubt) {
		t.Errorf("%v, printed\n%s", err, printed)
	}
}
