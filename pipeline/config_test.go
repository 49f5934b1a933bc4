package pipeline

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/dataset"
)

// A share of few images is two of them, where that leaves a batch; an export leaves out
// the same, and a run of an older version what it always did.
func TestHoldoutOfFewImages(t *testing.T) {
	data, out := writeImages(t, 20), t.TempDir()
	printed, err := train(t, t.Context(), "--data", data, "--out", out, "--holdout", "0.001")
	if err != nil || !strings.Contains(printed, "images     18 to train on, 2 held out, in ") || strings.Count(printed, "% (chance 50 %)\n") != 2 {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	var told bytes.Buffer
	if err := Export(t.Context(), []string{out, "--onnxruntime", orttest.Open(t).Path()}, &told, &told); err != nil || !strings.Contains(told.String(), "over 18 of 18 training images") {
		t.Errorf("%v, exported\n%s", err, &told)
	}
	few := writeImages(t, 9)
	printed, err = train(t, t.Context(), "--data", few, "--out", filepath.Join(out, "few"), "--holdout", "0.001")
	if err != nil || !strings.Contains(printed, "images     9 to train on, 0 held out (too few for 2 and a batch of 8: training is not watched), in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	printed, err = train(t, t.Context(), "--data", few, "--out", filepath.Join(out, "none"), "--holdout", "0")
	if err != nil || !strings.Contains(printed, "images     9 to train on, 0 held out, in ") {
		t.Errorf("%v, printed\n%s", err, printed)
	}
	all, err := dataset.Index(data)
	if err != nil {
		t.Fatal(err)
	}
	old := Config{Holdout: 0.001, Batch: 8}
	if _, held := old.split(all); held.Len() != 0 {
		t.Errorf("of a run without a least number %d are held out", held.Len())
	}
	larger := Config{Holdout: 0.5, Batch: 8, HoldoutLeast: 2}
	want, _ := all.Split(0.5)
	if got, _ := larger.split(all); got.Fingerprint() != want.Fingerprint() {
		t.Error("a share of enough images is another than it was")
	}
}
