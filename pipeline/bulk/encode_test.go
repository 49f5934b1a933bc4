package bulk_test

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
)

// Growing batches and padding the last one do not change the results.
func TestEncodeOnADevice(t *testing.T) {
	var size int
	enc := colour(t)
	checkEncode(t, func(r *dataset.Reader, all []int, each func(p dataset.Picture, y []float32) error) (err error) {
		size, err = bulk.EncodeOnADevice(t.Context(), enc, r, all, each)
		return err
	})
	if size < 32 {
		t.Errorf("batches of %d", size)
	}
}

// Batches of every size pass through the runtime's own CUDA provider.
func TestEncodeOnCUDA(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	enc := open(t, orttest.Copied(1), ort.Options{Device: ort.Device{Kind: tensor.CUDA}, Level: ort.None})
	checkEncode(t, func(r *dataset.Reader, all []int, each func(p dataset.Picture, y []float32) error) error {
		return bulk.Encode(t.Context(), enc, 1, r, all, each)
	})
	// The callback's error ends the encoding, and the next one starts afresh.
	full := errors.New("full")
	set := greys(t, 40)
	r := dataset.NewReader(set, dataset.ReaderConfig{Limits: bulk.Limits, MaxBad: 1})
	for range 3 {
		if err := bulk.Encode(t.Context(), enc, 1, r, []int{3, 2, 1}, func(dataset.Picture, []float32) error { return full }); !errors.Is(err, full) {
			t.Error(err)
		}
	}
}

// checkEncode encodes each of many pictures four times.
func checkEncode(t *testing.T, encode func(r *dataset.Reader, all []int, each func(p dataset.Picture, y []float32) error) error) {
	t.Helper()
	set := greys(t, 80)
	var all []int
	for i := range 4 * set.Len() {
		all = append(all, i/4)
	}
	r := dataset.NewReader(set, dataset.ReaderConfig{Limits: bulk.Limits, MaxBad: 1})
	var seen []int
	err := encode(r, all, func(p dataset.Picture, y []float32) error {
		grey, _, _ := strings.Cut(set.Key(p.Index), ".")
		n, err := strconv.Atoi(grey)
		if err != nil || math.Abs(float64(y[1])-float64(3*n)) > 0.01 || len(p.Pixels) != 3 || p.Pixels[1] != uint8(3*n) {
			t.Errorf("%s: pixels %v, vector %v", set.Key(p.Index), p.Pixels, y)
		}
		seen = append(seen, p.Index)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(seen) {
		t.Errorf("in the order %v", seen)
	}
	if len(seen) != 4*80 {
		t.Errorf("%d pictures", len(seen))
	}
}
