package near

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// scattered returns n vectors of length 1, some of them close to an earlier one, at distances
// around that of the cosine least.
func scattered(n, d int, least float64, seed uint64) stats.Matrix {
	r, m := rand.New(rand.NewPCG(seed, 0)), stats.New(n, d)
	for i := range n {
		row := m.Row(i)
		for j := range row {
			row[j] = float32(math.Abs(r.NormFloat64())) // as after a ReLU
		}
		if i > 0 && r.IntN(3) == 0 {
			apart := math.Sqrt(2*(1-least)) * (0.5 + r.Float64())
			from := m.Row(r.IntN(i))
			for j := range row {
				row[j] = from[j] + float32(apart*r.NormFloat64()/math.Sqrt(float64(d)))
			}
		}
		stats.Unit(row)
	}
	return m
}

// naive is a quadratic Join.
func naive(m stats.Matrix, least float32) []int {
	roots := make([]int, m.N)
	for i := range roots {
		roots[i] = i
	}
	for i := range m.N {
		for j := range i {
			if scan.Dot(m.Row(i), m.Row(j)) >= least && roots[i] != roots[j] {
				from, to := max(roots[i], roots[j]), min(roots[i], roots[j])
				for k := range roots {
					if roots[k] == from {
						roots[k] = to
					}
				}
			}
		}
	}
	return roots
}

// A bound would most likely lose pairs right at the threshold.
func TestPairsAtTheThreshold(t *testing.T) {
	for _, c := range []struct {
		n, d  int
		least float64
	}{{1, 3, 0.9}, {40, 3, 0.999}, {33, 64, 0.98}, {2125, 20, 0.98}, {700, 128, 0.9}} {
		m := scattered(c.n, c.d, c.least, uint64(c.n))
		want := naive(m, float32(c.least))
		got, err := Join(t.Context(), m, float32(c.least), func(int) {})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d rows of %d from %v: %v\n%v\nwant\n%v", c.n, c.d, c.least, err, got, want)
		}
		joined := 0
		for i, root := range got {
			if root != i {
				joined++
			}
		}
		if c.n > 40 && (joined == 0 || joined > c.n*9/10) {
			t.Errorf("%d rows of %d: %d are joined, which shows little", c.n, c.d, joined)
		}
	}
}

// Equal rows are all joined, and zero rows to nothing.
func TestJoinOfEqualsAndZeros(t *testing.T) {
	m := stats.New(300, 5)
	for i := range 200 {
		copy(m.Row(i), []float32{1, 0, 0, 0, 0})
	}
	got, err := Join(t.Context(), m, 1, func(int) {})
	if err != nil || got[199] != 0 || got[200] != 200 || got[299] != 299 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestJoinStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Join(ctx, scattered(50, 4, 0.9, 1), 0.9, func(int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkJoin(b *testing.B) {
	m := scattered(20_000, 512, 0.98, 1)
	for b.Loop() {
		if _, err := Join(b.Context(), m, 0.98, func(int) {}); err != nil {
			b.Fatal(err)
		}
	}
}
