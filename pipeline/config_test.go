package pipeline

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/dataset"
)

// With few images the held-out fraction becomes two of them if that leaves a batch; an export
// leaves out the same ones, and a run of an older version holds out what it always did.
func TestHoldoutOfFewImages(t *testing.T) {
	data, out := writeImages(t, 20), t.TempDir()
	printed, err := train(t, t.Context(), "--data", data, "--out", out, "--holdout", "0.001")
	if err != nil || !strings.Contains(printed, "images     18 for training, 2 held out, in ") || strings.Count(printed, "2 held out, so few that this is noise: ") != 3 || strings.Count(printed, "% (chance 50 %)\n") != 3 {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	var told bytes.Buffer
	if err := Export(t.Context(), []string{out, "--onnxruntime", orttest.Open(t).Path()}, &told, &told); err != nil || !strings.Contains(told.String(), "over 18 of 18 training images") {
		t.Errorf("%v, exported\n%s", err, &told)
	}
	few := writeImages(t, 9)
	printed, err = train(t, t.Context(), "--data", few, "--out", filepath.Join(out, "few"), "--holdout", "0.001")
	if err != nil || !strings.Contains(printed, "images     9 for training, 0 held out (too few for 2 and a batch of 8: training is not monitored), in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	printed, err = train(t, t.Context(), "--data", few, "--out", filepath.Join(out, "none"), "--holdout", "0")
	if err != nil || !strings.Contains(printed, "images     9 for training, 0 held out, in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	all, err := dataset.Index(data)
	if err != nil {
		t.Fatal(err)
	}
	old := Config{Holdout: 0.001, Batch: 8}
	if _, held, _ := old.split(all); held.Len() != 0 {
		t.Errorf("of a run without a least number %d are held out", held.Len())
	}
	larger := Config{Holdout: 0.5, Batch: 8, HoldoutLeast: 2}
	want, _ := all.Split(0.5)
	if got, _, _ := larger.split(all); got.Fingerprint() != want.Fingerprint() {
		t.Error("a share of enough images is another than it was")
	}
}

// However a run's images come and go, none that it was trained on is held out later.
func TestHoldoutOfImagesThatComeAndGo(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	watched := 0
	for range 200 {
		c := Config{Holdout: []float64{0.01, 0.05, 0.2}[r.IntN(3)], HoldoutLeast: leastHeld, Batch: 8}
		trained := map[string]bool{}
		for phase := range 6 {
			var paths []string
			for i := range 5 + r.IntN(40)*(1+r.IntN(3)) {
				if r.IntN(4) > 0 {
					paths = append(paths, fmt.Sprintf("/images/%d.jpg", i))
				}
			}
			all, err := dataset.Files(paths)
			if err != nil {
				t.Fatal(err)
			}
			var train, held *dataset.Set
			train, held, c.HoldoutBelow = c.split(all)
			if again, _, below := c.split(all); again.Fingerprint() != train.Fingerprint() || below != c.HoldoutBelow {
				t.Fatal("the same images are parted in another way")
			}
			for i := range held.Len() {
				if trained[held.Key(i)] {
					t.Fatalf("phase %d: %s is held out, and was trained on", phase, held.Key(i))
				}
			}
			for i := range train.Len() {
				trained[train.Key(i)] = true
			}
			if phase > 0 && held.Len() >= leastHeld {
				watched++
			}
		}
	}
	if watched < 200 {
		t.Errorf("no more than %d of 1000 are watched", watched)
	}
}

// A run that began with too few images to hold any out holds none out when there are more.
func TestResumeDoesNotHoldOutWhatWasTrainedOn(t *testing.T) {
	few, more, out := writeImages(t, 9), writeImages(t, 20), t.TempDir()
	printed, err := train(t, t.Context(), "--data", few, "--out", out, "--holdout", "0.001", "--warmup", "1", "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "9 for training, 0 held out (too few for 2 and a batch of 8") {
		t.Fatal(printed, err)
	}
	printed, err = train(t, t.Context(), "--data", more, "--out", out, "--resume", "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "images     20 for training, 0 held out (all others were trained on: training is not monitored), in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	if c := configOf(t, out); c.HoldoutBelow != 0.001 {
		t.Errorf("held out below %v", c.HoldoutBelow)
	}
	// One that began with two held out keeps them, and only new ones may replace them.
	out = t.TempDir()
	printed, err = train(t, t.Context(), "--data", more, "--out", out, "--holdout", "0.001", "--warmup", "1", "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "18 for training, 2 held out, in ") {
		t.Fatal(printed, err)
	}
	all, err := dataset.Index(more)
	if err != nil {
		t.Fatal(err)
	}
	c := configOf(t, out)
	_, held, _ := c.split(all)
	if err := os.Remove(held.Path(0)); err != nil {
		t.Fatal(err)
	}
	printed, err = train(t, t.Context(), "--out", out, "--resume", "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "18 for training, 1 held out (all others were trained on: training is not monitored), in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
}
