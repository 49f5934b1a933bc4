package sketch

import (
	"context"
	"math"
	"math/rand/v2"
)

// orthonormal makes axes orthonormal by Gram-Schmidt, in two passes, as one leaves rounding
// errors. An axis in the span of those before it, which occurs with vectors of fewer dimensions
// than axes, is replaced by a random one. When ctx ends it returns early, with axes incomplete.
func orthonormal(ctx context.Context, axes [][]float64, r *rand.Rand) {
	for s, axis := range axes {
		if ctx.Err() != nil {
			return
		}
		for length := math.Sqrt(dot(axis, axis)); ; {
			for range 2 {
				for _, before := range axes[:s] {
					less(axis, dot(axis, before), before)
				}
			}
			left := math.Sqrt(dot(axis, axis))
			if left > 1e-6*length && left > 1e-30 {
				scale(axis, 1/left)
				break
			}
			copy(axis, random(r, len(axis)))
			length = math.Sqrt(dot(axis, axis))
		}
	}
}

// mixed returns random orthonormal combinations of axes, which span the same space: coordinates
// along them are of similar size, so that quantising to 8 bits loses least.
func mixed(ctx context.Context, axes [][]float64, r *rand.Rand) [][]float64 {
	turn := make([][]float64, len(axes))
	for s := range turn {
		turn[s] = random(r, len(axes))
	}
	orthonormal(ctx, turn, r)
	all := make([][]float64, len(axes))
	for s := range all {
		if ctx.Err() != nil {
			return nil
		}
		all[s] = make([]float64, len(axes[0]))
		for t, axis := range axes {
			less(all[s], -turn[s][t], axis)
		}
	}
	return all
}

func random(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for k := range x {
		x[k] = r.NormFloat64()
	}
	return x
}

// dot uses four accumulators for instruction-level parallelism.
func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	at := 0
	for ; at+4 <= len(a); at += 4 {
		x, y := a[at:at+4:at+4], b[at:at+4:at+4]
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for ; at < len(a); at++ {
		s0 += a[at] * b[at]
	}
	return s0 + s1 + s2 + s3
}

// less subtracts factor times b from a, in place.
func less(a []float64, factor float64, b []float64) {
	b = b[:len(a)]
	for k := range a {
		a[k] -= factor * b[k]
	}
}

func scale(a []float64, factor float64) {
	for k := range a {
		a[k] *= factor
	}
}
