package ort

import (
	"math"
	"slices"
	"testing"
)

func TestNear(t *testing.T) {
	want := []float32{1000, -3, 0}
	for _, c := range []struct {
		got   []float32
		right bool
	}{
		{[]float32{1001, -2, -1}, true},
		{[]float32{1000, -3}, false},
		{[]float32{1000, -3, 20}, false},
		{[]float32{0, 0, 0}, false},
		{[]float32{1000, -3, float32(math.NaN())}, false},
	} {
		if err := near(c.got, want); (err == nil) != c.right {
			t.Errorf("%v: %v", c.got, err)
		}
	}
}

// TestProduct: the matrix swaps the first two columns, keeps the third and doubles the fourth.
func TestProduct(t *testing.T) {
	swap := []float32{0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2}
	if got, want := product([]float32{1, 2, 3, 4, 5, 6, 7, 8}, swap), []float32{2, 1, 3, 8, 6, 5, 7, 16}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
