package ort

import (
	"slices"
	"testing"
)

// TestBlockSize cannot know the machine's block size, but at most one layout of the weights can
// be right, and it must be the chosen one.
func TestBlockSize(t *testing.T) {
	path, err := Find("")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	size, err := BlockSize(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("block size %d", size)
	for _, b := range []int{16, 8, 4} {
		right, err := probe(r, b)
		if err != nil || right != (b == size) {
			t.Errorf("weights in blocks of %d: right is %v, %v; the size is %d", b, right, err, size)
		}
	}
}

func TestBlocked(t *testing.T) {
	w := make([]float32, probeM*probeC*probeK*probeK)
	for i := range w {
		w[i] = float32(i)
	}
	b := blocked(w, 8)
	// Output channel 9, input channel 18, tap 5, by the definition of the layout.
	at := ((((9/8)*(probeC/8)+18/8)*9+5)*8+18%8)*8 + 9%8
	if want := float32((9*probeC+18)*9 + 5); b[at] != want {
		t.Errorf("found weight %v there, want %v", b[at], want)
	}
	slices.Sort(b)
	if !slices.Equal(b, w) {
		t.Error("a weight was lost")
	}
}
