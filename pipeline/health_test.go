package pipeline

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/tensor"
	"vicreg/pipeline/stats"
)

func TestHealthInALine(t *testing.T) {
	h := Health{Loss: 21.1754, Spread: 0.684, Rank: 18.6, MostRank: 64, Retrieval: 0.22, Images: 64, Of: 97}
	if got, want := h.String(), "  | 64 of 97 held out: loss 21.175  spread 0.68  rank 19 of at most 64  other view found 22 % (chance 1.6 %)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	h.Images, h.Of, h.Loss = 8, 8, 64171338297769984
	if got := h.String(); !strings.HasPrefix(got, "  | 8 held out, so few that this is noise: loss 6.42e+16  spread ") {
		t.Errorf("%q", got)
	}
}

// Figures of runs that learnt, and of one that did not, with 64 and 97 held-out images.
func TestUnlearnt(t *testing.T) {
	first := &Health{Rank: 4, Retrieval: 0.06, Images: 64}
	for what, c := range map[string]struct {
		first, last *Health
		said        bool
	}{
		"learnt":               {first, &Health{Rank: 19, Retrieval: 0.22, Images: 64}, false},
		"lower rank":           {first, &Health{Rank: 3, Retrieval: 0.22, Images: 64}, true},
		"the same rank":        {first, &Health{Rank: 4, Retrieval: 0.22, Images: 64}, true},
		"finds less":           {first, &Health{Rank: 19, Retrieval: 0.05, Images: 64}, true},
		"finds more by chance": {first, &Health{Rank: 7, Retrieval: 0.08, Images: 64}, true},
		"found all before":     {&Health{Rank: 4, Retrieval: 0.97, Images: 64}, &Health{Rank: 9, Retrieval: 0.95, Images: 64}, false},
		"other images":         {first, &Health{Rank: 3, Retrieval: 0.05, Images: 60}, false},
		"few images":           {&Health{Rank: 4, Images: 29}, &Health{Rank: 3, Images: 29}, false},
		"no beginning":         {nil, &Health{Rank: 3, Images: 64}, false},
		"no end":               {first, nil, false},
	} {
		if got := unlearnt(c.first, c.last); (got != "") != c.said {
			t.Errorf("%s: %q", what, got)
		}
	}
	want := "the held-out images have rank 3 and match their other view in 5 % after training, rank 4 and 6 % before: so the run seems to have learnt little; "
	if got := unlearnt(first, &Health{Rank: 3, Retrieval: 0.05, Images: 64}); !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
}

// The held-out loss is reported when its terms other than the covariance diverge, and takes the
// place of a collapse warning.
func TestALossThatIsApart(t *testing.T) {
	c := Config{Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}}
	for _, f := range []struct {
		what  string
		train float64
		held  *Health
		said  bool
	}{
		{"healthy", 21, &Health{Loss: 22, Invariance: 0.1, Variance: 0.75}, false},
		{"covariance of two images", 21, &Health{Loss: 3760, Invariance: 0.1, Variance: 0.75, Covariance: 3744}, false},
		{"exploded", 26, &Health{Loss: 6.4e16, Invariance: 1e9}, true},
		{"no number", 26, &Health{Loss: math.NaN(), Invariance: math.NaN()}, true},
		{"no step was taken", math.NaN(), &Health{Loss: 6.4e16, Invariance: 1e9}, false},
		{"not watched", 26, nil, false},
	} {
		if got := c.apart(f.train, f.held); (got != "") != f.said {
			t.Errorf("%s: %q", f.what, got)
		}
	}
	var said bytes.Buffer
	(&collapse{}).warn(&said, 3, "spread 0.01", c.apart(26, &Health{Loss: 6.4e16, Invariance: 1e9}))
	if want := "vicreg train: epoch 3: the loss is 6.4e+16 on the held-out images and 26 in training: weights and running statistics have diverged; if this persists, start again with a lower --lr or a longer --warmup\n"; said.String() != want {
		t.Errorf("said\n%s", &said)
	}
}

// beforeFirstOf returns the epoch lines before the first step in a run's metrics.
func beforeFirstOf(t *testing.T, run string) (lines []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(run, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m["kind"] == "epoch" && m["epoch"] == 0.0 {
			lines = append(lines, m)
		}
	}
	return lines
}

// The held-out images are measured once before the first step, however often a run is resumed, and
// even if it stopped before that step.
func TestEpochZero(t *testing.T) {
	data, out := writeImages(t, 28), t.TempDir()
	printed, err := train(t, t.Context(), "--data", data, "--out", out, "--holdout", "0.3", "--time-limit", "1ns")
	if err != nil || strings.Count(printed, "epoch   0  before the first step  | ") != 1 {
		t.Fatal(printed, err)
	}
	first := beforeFirstOf(t, out)
	if len(first) != 1 || first[0]["step"] != 0.0 || first[0]["rank"] == nil || !(first[0]["held_out"].(float64) > 1) {
		t.Fatalf("metrics %v", first)
	}
	if err := os.Remove(filepath.Join(out, "checkpoint-1.safetensors")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if printed, err = train(t, t.Context(), "--out", out, "--resume", "--time-limit", "1ns"); err != nil || strings.Contains(printed, "epoch   0") {
			t.Fatal(printed, err)
		}
	}
	if again := beforeFirstOf(t, out); len(again) != 1 || again[0]["rank"] != first[0]["rank"] {
		t.Errorf("metrics %v, were %v", again, first)
	}
	m, err := openMetrics(filepath.Join(out, metricsFile), latest(t, out).Position.Step)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.first == nil || m.first.Rank != first[0]["rank"] || float64(m.first.Images) != first[0]["held_out"] {
		t.Errorf("a resumed run finds %+v of %v", m.first, first[0])
	}
}

// A run whose figures have not improved ends with a line that says so.
func TestARunThatLearntNothingSaysSo(t *testing.T) {
	for _, learnt := range []bool{false, true} {
		r := fakeRun(t, &fakeStepper{finite: func(int) bool { return true }}, 2)
		r.metrics.first, r.last = &Health{Rank: 9, Retrieval: 0.5, Images: 40}, &Health{Rank: 8, Retrieval: 0.5, Images: 40}
		if learnt {
			r.last = &Health{Rank: 12, Retrieval: 0.8, Images: 40}
		}
		var errs bytes.Buffer
		if err := r.loop(t.Context(), io.Discard, &errs); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(errs.String(), "vicreg train: the held-out images have rank 8 and match "); (got == 1) == learnt {
			t.Errorf("learnt: %v, said\n%s", learnt, &errs)
		}
	}
}

// At training's batch size, and for few images, the covariance is what the graph computes;
// otherwise it is converted, which for independent dimensions scales it with 1/(N-1).
func TestTheCovarianceOfHeldOutImagesIsThatOfTrainingsBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, c := range []struct {
		images, batch int
		want          float64 // relative to what the graph computes
	}{{64, 64, 1}, {64, 253, 0.25}, {31, 16, 2}, {29, 500, 1}} {
		const dims = 400
		out, found := map[string]*tensor.Tensor{}, 0.0
		for _, name := range []string{models.Embedding1, models.Embedding2} {
			z := tensor.New(tensor.Float32, c.images, dims)
			for i := range z.Float32() {
				z.Float32()[i] = float32(r.NormFloat64())
			}
			out[name] = z
			found += stats.VariancePairs(stats.Of(z.Float32(), c.images, dims)) / float64(c.images-1)
		}
		out["covariance"] = tensor.Of([]float32{float32(found)})
		w := &watch{config: &Config{Batch: c.batch}}
		if got := w.covariance(out) / found; !(math.Abs(got-c.want) < 1e-5) {
			t.Errorf("%d images, batches of %d: %v of what was found, want %v", c.images, c.batch, got, c.want)
		}
	}
}
