// Package sketch bounds dot products by a few numbers of each vector, so that a search
// reads a part of the bytes and yet loses nothing.
//
// A vector x is split into what lies along some axes, P x, and the rest r of it, of which
// only the length is kept. The product of two vectors is at most that of what lies along
// the axes plus that of the lengths of their rests (Cauchy and Schwarz). Vectors of a
// network lie near a space of few dimensions, which is found by subspace iteration
// (Halko, Martinsson, Tropp 2011, algorithm 4.4): there the rests are short, and the
// bound rules out nearly all.
//
// All vectors are of length 1, to within 1e-6. Every function may be called at once with
// others, and none changes what it reads.
package sketch

import (
	"context"
	"math"
	"math/rand/v2"

	"vicreg/server/index/scan"
)

// Axes are S directions among D dimensions, orthonormal but for skew.
type Axes struct {
	dim, n int
	rows   []float32 // [S, D]
	skew   float64   // no less than the norm of P Pᵀ - 1
	blur   float64   // no less than the length of P x less what is computed of it
	Off    float64   // mean share of a vector's squared length off the axes, of those learnt from
}

const (
	longest    = 1 + 1e-6 // what rounding may make of a vector's length
	iterations = 3
	perAxis    = 8 // vectors to learn from
)

// Count is how many axes vectors of D numbers are sketched by: a quarter at most, rounded
// down to what scan takes at once, and no more than 256; 0 where D is too small for it to
// be worth it.
func Count(dim int) int { return min(dim/4/64*64, 256) }

// Sample is how many vectors are enough to learn n axes.
func Sample(n int) int { return perAxis * n }

// Learn finds n axes of vectors [N, D] near which these lie; N is at least 1 and D more
// than n. The same vectors give the same axes. When ctx ends it returns nil.
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

// leading are n axes, about in the order in which vectors lie along them, those along which
// they lie most first. They are of no use when ctx has ended.
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

// newAxes measures how far axes are from orthonormal once they are rounded.
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

// roundings is no less than what rounding adds to a product of scan, as a share of the
// product of the lengths; see scan.Dot.
func roundings(dim int) float64 { return float64((dim+63)/64+6) * 0x1.01p-24 }

// along sets out to the first numbers of P x, by default all S.
func (a *Axes) along(out, x []float32) { scan.Dots(out, x, a.rows[:len(out)*a.dim]) }

// rest is no less than the length of r = x - Pᵀa, where a is what along gave. With
// P x = a + e, |e| at most blur:  |r|² = |x|² - |a|² - 2 a·e + a·(P Pᵀ - 1)a.
func (a *Axes) rest(x, along []float32) float32 {
	total, there := squares(x), squares(along)
	r := total - there + 2*math.Sqrt(there)*a.blur + there*a.skew + 1e-12
	return scan.Up(math.Sqrt(max(0, r)))
}

// slack is no less than what the bound lacks for rounding. With q = Pᵀb + s alike,
//
//	q·x = (P q)·a + q·r = (b + e')·a + b·(P r) + s·r,   P r = e - (P Pᵀ - 1)a,
//
// which is b·a + |s||r| plus blur*|a| + |b|*(blur + skew*|a|) at most. The product that
// is asked about is rounded itself, and so are the few sums of the bound.
func (a *Axes) slack() float64 {
	length := a.length()
	return length*(2*a.blur+a.skew*length) + roundings(a.dim)*longest*longest + 8*0x1p-24*(length*length+1)
}

// length is no less than that of what along gives.
func (a *Axes) length() float64 { return math.Sqrt(1+a.skew)*longest + a.blur }

func squares(x []float32) (sum float64) {
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// single is x rounded to float32.
func single(x []float64) []float32 {
	rounded := make([]float32, len(x))
	for k, v := range x {
		rounded[k] = float32(v)
	}
	return rounded
}
