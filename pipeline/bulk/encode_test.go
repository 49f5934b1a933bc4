package bulk_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
)

// Batches that grow, and a last one that is filled up, change nothing of what comes
// out.
func TestEncodeOnADevice(t *testing.T) {
	set := greys(t, 80)
	var all []int // four of every picture
	for i := range 4 * set.Len() {
		all = append(all, i/4)
	}
	r := dataset.NewReader(set, dataset.ReaderConfig{Limits: bulk.Limits, MaxBad: 1})
	var seen []int
	size, err := bulk.EncodeOnADevice(t.Context(), colour(t), r, all, func(p dataset.Picture, y []float32) error {
		grey, _, _ := strings.Cut(set.Key(p.Index), ".")
		n, err := strconv.Atoi(grey)
		if err != nil || math.Abs(float64(y[1])-float64(3*n)) > 0.01 {
			t.Errorf("%s: vector %v", set.Key(p.Index), y)
		}
		seen = append(seen, p.Index)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(seen); i++ {
		if seen[i] < seen[i-1] {
			t.Fatalf("picture %d after %d", seen[i], seen[i-1])
		}
	}
	if len(seen) != 4*80 || size < 32 {
		t.Errorf("%d pictures in batches of %d", len(seen), size)
	}
}
