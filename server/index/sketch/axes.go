// Package sketch bounds dot products by a few numbers per vector, so that a search reads only
// part of the bytes and its result is still exact.
//
// A vector x is split into its coordinates along some axes, P x, and the rest r, of which only
// the length is kept. The product of two vectors is at most the product of their coordinates plus
// the product of the lengths of their rests (Cauchy-Schwarz). A network's vectors lie near a
// low-dimensional subspace, which is found by subspace iteration (Halko, Martinsson, Tropp 2011,
// algorithm 4.4): there the rests are short, and the bound rules out nearly all vectors.
//
// All vectors are of length 1, to within 1e-6. All functions are safe for concurrent use, and
// none modifies its input.
package sketch

import (
	"context"
	"math"
	"math/rand/v2"

	"vicreg/server/index/scan"
)

// Axes are S directions in D dimensions, orthonormal to within skew.
type Axes struct {
	dim, n int
	rows   []float32 // [S, D]
	skew   float64   // upper bound on the norm of P Pᵀ - 1
	blur   float64   // upper bound on the length of the rounding error of P x
	Off    float64   // mean fraction of the squared length off the axes, over the vectors learnt from
}

const (
	longest    = 1 + 1e-6 // upper bound on a vector's length, given rounding
	iterations = 3
	perAxis    = 8 // vectors to learn from, per axis
)

// Count returns the number of axes for vectors of D numbers: at most a quarter of D, rounded down
// to a multiple of the 64 that scan processes at once, and at most 256; 0 if D is too small for
// sketches to pay off.
func Count(dim int) int { return min(dim/4/64*64, 256) }

// Sample returns the number of vectors that suffice to learn n axes.
func Sample(n int) int { return perAxis * n }

// Learn finds n axes whose span the vectors [N, D] lie near; N is at least 1 and D more than n.
// It is deterministic. It returns nil if ctx ends.
func Learn(ctx context.Context, vectors []float32, dim, n int) *Axes {
	r := rand.New(rand.NewPCG(1, 2))
	axes := mixed(ctx, leading(ctx, vectors, dim, n, r), r)
	if ctx.Err() != nil {
		return nil
	}
	a := newAxes(axes)
	learnt := Draw(ctx, a, vectors)
	if learnt == nil {
		return nil
	}
	a.Off = learnt.Off
	return a
}

// leading returns n axes, roughly in descending order of how much of the vectors lies along them.
// The result is unusable if ctx has ended.
func leading(ctx context.Context, vectors []float32, dim, n int, r *rand.Rand) [][]float64 {
	count := len(vectors) / dim
	columns := make([]float32, len(vectors)) // [D, N]
	for i := range count {
		for k, v := range vectors[i*dim : (i+1)*dim] {
			columns[k*count+i] = v
		}
	}
	axes := make([][]float64, n)
	for s := range axes {
		axes[s] = random(r, dim)
	}
	along, back := make([]float32, count), make([]float32, dim)
	for range iterations {
		orthonormal(ctx, axes, r)
		for _, axis := range axes {
			if ctx.Err() != nil {
				return axes
			}
			scan.Dots(along, single(axis), vectors)
			scan.Dots(back, along, columns)
			for k, v := range back {
				axis[k] = float64(v)
			}
		}
	}
	orthonormal(ctx, axes, r)
	return axes
}

// newAxes rounds axes to float32 and measures how far from orthonormal they are then.
func newAxes(axes [][]float64) *Axes {
	dim := len(axes[0])
	a := &Axes{dim: dim, n: len(axes)}
	rounded := make([][]float64, len(axes))
	for s, axis := range axes {
		row := single(axis)
		a.rows = append(a.rows, row...)
		rounded[s] = make([]float64, dim)
		for k, v := range row {
			rounded[s][k] = float64(v)
		}
	}
	var squares float64 // of P Pᵀ - 1
	for s, axis := range rounded {
		for t, other := range rounded[:s+1] {
			switch e := dot(axis, other); {
			case t == s:
				squares += (e - 1) * (e - 1)
			default:
				squares += 2 * e * e
			}
		}
	}
	a.skew = math.Sqrt(squares) + 1e-9
	a.blur = roundings(dim) * math.Sqrt(float64(a.n)) * (1 + a.skew) * longest
	return a
}

// roundings is an upper bound on the rounding error of a product of scan, relative to the product
// of the lengths; see scan.Dot.
func roundings(dim int) float64 { return float64((dim+63)/64+6) * 0x1.01p-24 }

// along sets out to the first len(out) numbers of P x.
func (a *Axes) along(out, x []float32) { scan.Dots(out, x, a.rows[:len(out)*a.dim]) }

// rest is an upper bound on the length of r = x - Pᵀa, where a is the result of along. With
// P x = a + e, |e| at most blur: |r|² = |x|² - |a|² - 2 a·e + a·(P Pᵀ - 1)a.
func (a *Axes) rest(x, along []float32) float32 {
	total, there := squares(x), squares(along)
	r := total - there + 2*math.Sqrt(there)*a.blur + there*a.skew + 1e-12
	return scan.Up(math.Sqrt(max(0, r)))
}

// slack is an upper bound on how far rounding makes the bound too low. With q = Pᵀb + s likewise,
//
//	q·x = (P q)·a + q·r = (b + e')·a + b·(P r) + s·r,   P r = e - (P Pᵀ - 1)a,
//
// which exceeds b·a + |s||r| by at most blur*|a| + |b|*(blur + skew*|a|). The product to be
// bounded is rounded itself, and so are the few sums of the bound.
func (a *Axes) slack() float64 {
	length := a.length()
	return length*(2*a.blur+a.skew*length) + roundings(a.dim)*longest*longest + 8*0x1p-24*(length*length+1)
}

// length is an upper bound on the length of the result of along.
func (a *Axes) length() float64 { return math.Sqrt(1+a.skew)*longest + a.blur }

func squares(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// single rounds x to float32.
func single(x []float64) []float32 {
	rounded := make([]float32, len(x))
	for k, v := range x {
		rounded[k] = float32(v)
	}
	return rounded
}
