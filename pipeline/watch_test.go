package pipeline

import (
	"io"
	"slices"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/usage"
)

// newSmallWatch returns a watch on eight images, and a state for it.
func newSmallWatch(t *testing.T, opt ort.Options) (*watch, map[string]*tensor.Tensor) {
	t.Helper()
	f, fs := newTrainFlags(io.Discard)
	if err := usage.Parse(fs, smallRun(t, []string{"--data", writeImages(t, 24), "--out", t.TempDir(), "--holdout", "0.4"})); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.prepare(fs, io.Discard); err != nil {
		t.Fatal(err)
	}
	train, held, err := f.images(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.plan(train.Len()); err != nil {
		t.Fatal(err)
	}
	step, err := models.Step(f.graphs(0))
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWatch(orttest.Open(t), &f.Config, opt, held, f.Batch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, step.InitialState(1)
}

// On the host the session stays open; if there is none, one is opened for the measurement, with the
// same result.
func TestWatchOpensItsSession(t *testing.T) {
	w, state := newSmallWatch(t, ort.Options{Threads: 1})
	want, err := w.measure(state)
	if err != nil || w.session == nil {
		t.Fatalf("%+v, %v", want, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var opened []*ort.Session
	open := w.open
	w.open = func() (*ort.Session, error) {
		s, err := open()
		opened = append(opened, s)
		return s, err
	}
	for range 2 {
		got, err := w.measure(state)
		if err != nil || got != want {
			t.Errorf("%+v, want %+v (%v)", got, want, err)
		}
		if w.session != nil {
			t.Error("the session stays")
		}
	}
	if len(opened) != 2 || slices.ContainsFunc(opened, func(s *ort.Session) bool { _, err := s.Metadata(); return err == nil }) {
		t.Errorf("%d sessions were opened, or not all closed", len(opened))
	}
}

// A watch leaves the device to the training step between measurements.
func TestWatchOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	w, _ := newSmallWatch(t, ort.Options{Device: ort.Device{Kind: tensor.CUDA}})
	if w.session != nil {
		t.Error("the session stays from the start")
	}
	if _, err := w.measure(nil); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("measured without a state: %v", err)
	}
	if w.session != nil {
		t.Error("the session stays after a failed measurement")
	}
}
