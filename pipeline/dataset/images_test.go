package dataset

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"vicreg/pipeline/imaging"
)

var pre = imaging.Preprocess{Resize: 12, Crop: 10, Interpolation: "bilinear"}

func TestImagesAreInOrderAndWithoutBadOnes(t *testing.T) {
	root, _ := folder(t, 12)
	spoil(t, root)
	set := index(t, root)
	indices := []int{3, 2, 9, 1, 0, 0, 11, 7, 8}
	for workers := 1; workers <= 4; workers++ {
		r := NewReader(set, ReaderConfig{})
		var got []int
		for p, err := range Images(t.Context(), r, indices, pre, workers) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p.Index)
			m, err := r.Image(p.Index)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]uint8, 300)
			imaging.Evaluate(m, want, pre, &imaging.Scratch{})
			if !slices.Equal(p.Pixels, want) {
				t.Errorf("%d workers: picture %d differs", workers, p.Index)
			}
		}
		var want []int
		for _, i := range indices {
			if _, err := r.Image(i); err == nil {
				want = append(want, i)
			}
		}
		if !slices.Equal(got, want) || len(want) == len(indices) {
			t.Errorf("%d workers: pictures %v, want %v", workers, got, want)
		}
	}
}

// TestImagesEnd runs in synctest bubbles, which fail if a goroutine outlives them.
func TestImagesEnd(t *testing.T) {
	_, set := folder(t, 30)
	all := visited(set.Shuffle(1, 0))
	synctest.Test(t, func(t *testing.T) {
		seen := 0
		for _, err := range Images(t.Context(), NewReader(set, ReaderConfig{}), all, pre, 3) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 4 {
				break
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for _, last = range Images(ctx, NewReader(set, ReaderConfig{}), all, pre, 3) {
			cancel()
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("after a cancellation: %v", last)
		}
	})
}

func TestImagesReportErrors(t *testing.T) {
	root, set := folder(t, 6)
	auto := imaging.Preprocess{Crop: 8, Interpolation: "bilinear", Conversion: imaging.Conversion{Levels: imaging.Levels{Auto: true}}}
	for p, err := range Images(t.Context(), NewReader(set, ReaderConfig{}), []int{0}, auto, 1) {
		if err == nil || !strings.Contains(err.Error(), "{Levels:full Background:} and wanted with {Levels:auto Background:}") {
			t.Errorf("pixels of a reader that knows no levels: %v, %v", p, err)
		}
	}
	for p, err := range Images(t.Context(), NewReader(set, ReaderConfig{}), []int{0}, imaging.Preprocess{Crop: 8}, 1) {
		if err == nil {
			t.Errorf("without an interpolation: picture %v", p)
		}
	}
	for _, key := range keys(set) {
		if err := os.Remove(filepath.Join(root, key)); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	for _, last = range Images(t.Context(), NewReader(set, ReaderConfig{}), []int{0, 1, 2, 3, 4, 5}, pre, 2) {
	}
	if last == nil {
		t.Error("all files are gone and there is no error")
	}
	for range Images(t.Context(), NewReader(set, ReaderConfig{}), nil, pre, 2) {
		t.Error("a picture of none")
	}
}
