package dataset

import (
	"math"
	"slices"
	"testing"
)

// visited converts an order to indices for Images.
func visited(order []uint32) []int {
	all := make([]int, len(order))
	for k, i := range order {
		all[k] = int(i)
	}
	return all
}

func TestShuffleIsAPermutation(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 9, 10, 16, 17, 99, 100, 101, 1000, 65537} {
		for epoch := range 3 {
			for i, v := range slices.Sorted(slices.Values(shuffle(nil, n, 7, epoch))) {
				if i != int(v) {
					t.Fatalf("of %d pictures, epoch %d: not a permutation at %d", n, epoch, i)
				}
			}
		}
	}
}

func TestShuffleDependsOnItsArguments(t *testing.T) {
	s := numbered(1000)
	a := s.Shuffle(1, 2)
	if !slices.Equal(a, shuffle(s.Shuffle(3, 4), 1000, 1, 2)) {
		t.Error("not repeatable, or not into old memory")
	}
	if slices.Equal(a, s.Shuffle(1, 3)) || slices.Equal(a, s.Shuffle(2, 2)) {
		t.Error("seed or epoch has no effect")
	}
	if got, want := numbered(8).Shuffle(42, 0), []uint32{5, 3, 1, 4, 7, 0, 6, 2}; !slices.Equal(got, want) {
		t.Errorf("the order has changed between versions: %v, was %v", got, want)
	}
}

// TestShuffleIsEven counts, over many epochs, the positions of each image, which image follows
// which, and how often each permutation of five occurs. The bounds are five standard deviations of
// a count.
func TestShuffleIsEven(t *testing.T) {
	const n, epochs = 12, 60000
	lands, follows, permutations := map[[2]int]int{}, map[[2]int]int{}, map[[5]uint32]int{}
	for epoch := range epochs {
		order := visited(shuffle(nil, n, 9, epoch))
		for k, i := range order {
			lands[[2]int{k, i}]++
			if k > 0 {
				follows[[2]int{order[k-1], i}]++
			}
		}
		permutations[[5]uint32(shuffle(nil, 5, 9, epoch))]++
	}
	even := func(what string, count, cells, total int) {
		want := float64(total) / float64(cells)
		if math.Abs(float64(count)-want) > 5*math.Sqrt(want) {
			t.Errorf("%s: %d times, want about %.0f", what, count, want)
		}
	}
	for k := range n {
		for i := range n {
			even("a picture at a position", lands[[2]int{k, i}], n, epochs)
			if i != k {
				even("a picture after another", follows[[2]int{k, i}], n*(n-1), epochs*(n-1))
			}
		}
	}
	if len(permutations) != 120 {
		t.Errorf("%d of the 120 permutations of five come up", len(permutations))
	}
	for _, count := range permutations {
		even("a permutation", count, 120, epochs)
	}
}

// BenchmarkShuffle shuffles a million images.
func BenchmarkShuffle(b *testing.B) {
	var order []uint32
	for b.Loop() {
		order = shuffle(order, 1_000_000, 1, 2)
	}
}
