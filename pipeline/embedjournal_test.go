package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// An image that has changed since its vector was stored prevents resuming, even if its size is the
// same: the new image would get the old one's vector.
func TestEmbedNoticesChangedImages(t *testing.T) {
	images, file := drawKinds(t, 2, 1), filepath.Join(t.TempDir(), "v.jsonl")
	model := someModel(t, images)
	stopped := func() { // after the first image
		t.Helper()
		set, err := dataset.Open(t.Context(), images, dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		enc, err := encoder.Open(orttest.Open(t), model, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		j, err := vectors.OpenJournal(file+".part", vectors.Info{Fingerprint: enc.Fingerprint(), Dim: enc.Dim(), Images: stateOf(set)})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Add(make([]float32, enc.Dim())), j.Close()); err != nil {
			t.Fatal(err)
		}
	}
	stopped()
	first := filepath.Join(images, "blue", "000.jpg")
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	old := readFile(t, first)
	for what, change := range map[string]func() error{
		"size": func() error {
			return errors.Join(os.WriteFile(first, append(slices.Clone(old), 0), 0o666), os.Chtimes(first, time.Time{}, before.ModTime()))
		},
		"time": func() error {
			return errors.Join(os.WriteFile(first, old, 0o666), os.Chtimes(first, time.Time{}, before.ModTime().Add(time.Second)))
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		var wrong *usage.Error
		if _, err := embed(t, t.Context(), images, "--model", model, "-o", file); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "an image has changed since; --force starts over") {
			t.Errorf("another %s: got %v", what, err)
		}
	}
	if err := errors.Join(os.WriteFile(first, old, 0o666), os.Chtimes(first, time.Time{}, before.ModTime())); err != nil {
		t.Fatal(err)
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", file); err != nil {
		t.Errorf("as it was: %v", err)
	}
}
