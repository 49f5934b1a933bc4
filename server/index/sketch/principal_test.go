package sketch

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// No two vectors are further apart along the axes than Apart says, nor along only the first ones,
// nor with axes far from orthonormal, where four fifths of the bound are reached.
func TestApart(t *testing.T) {
	const dim, n = 96, 16
	r := rand.New(rand.NewPCG(21, 22))
	for _, skewed := range []float64{0, 1e-6, 0.1} {
		axes := leading(context.Background(), kinds["any"](r, 100, dim), dim, n, r)
		for s := 1; s < n; s++ {
			less(axes[s], -skewed, axes[0])
		}
		a := newAxes(axes)
		rows := kinds["near a few dimensions"](r, 100, dim)
		sum := make([]float64, dim) // the vector that this skew lengthens most
		for s, axis := range axes {
			less(sum, -1-99*float64(1-min(s, 1)), axis)
		}
		scale(sum, 1/math.Sqrt(dot(sum, sum)))
		rows = append(rows, single(sum)...)
		scale(sum, -1)
		rows = append(rows, single(sum)...)
		most := 0.0
		for ; len(rows) > dim; rows = rows[dim:] {
			for _, some := range []int{1, n / 2, n} {
				distance := apart(wide(rows[:dim]), wide(rows[dim:2*dim]))
				x, y := make([]float32, some), make([]float32, some)
				a.Along(x, rows[:dim])
				a.Along(y, rows[dim:2*dim])
				got := apart(wide(x), wide(y))
				if got > a.Apart(distance, longest) {
					t.Fatalf("skew %v: %v apart, and %v along %d axes: more than %v", skewed, distance, got, some, a.Apart(distance, longest))
				}
				most = max(most, got/a.Apart(distance, longest))
			}
		}
		if most < 0.8 {
			t.Errorf("skew %v: no more than %v of what is allowed", skewed, most)
		}
	}
}

func apart(x, y []float64) float64 {
	less(x, 1, y)
	return math.Sqrt(dot(x, x))
}

// Vectors extend most along the first axis. There may be as many axes as dimensions, also for
// vectors that differ along fewer, or not at all.
func TestPrincipal(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for name, vectors := range kinds {
		for _, c := range []struct{ dim, n int }{{1, 1}, {3, 3}, {64, 64}, {100, 64}} {
			rows := vectors(r, 200, c.dim)
			a := Principal(context.Background(), rows, c.dim, c.n)
			if a.skew > 1e-5 {
				t.Fatalf("%s, %d axes of %d dimensions: skew %v", name, c.n, c.dim, a.skew)
			}
			squares, along := make([]float64, c.n), make([]float32, c.n)
			for ; len(rows) > 0; rows = rows[c.dim:] {
				a.Along(along, rows[:c.dim])
				for s, v := range along {
					squares[s] += float64(v) * float64(v)
				}
			}
			if name == "in a few dimensions" && c.n > 1 && squares[0] < squares[c.n-1] {
				t.Errorf("%d axes of %d dimensions: %v", c.n, c.dim, squares)
			}
		}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if Principal(ended, kinds["any"](r, 10, 8), 8, 4) != nil {
		t.Error("axes after the end")
	}
}
