package sketch

import (
	"context"
	"math"
	"math/rand/v2"
)

// Principal finds the n axes along which the vectors [N, D] extend most, roughly in descending
// order; N is at least 1 and D at least n. The vectors may have any length. It is deterministic.
// It returns nil if ctx ends.
func Principal(ctx context.Context, vectors []float32, dim, n int) *Axes {
	r := rand.New(rand.NewPCG(1, 2))
	axes := leading(ctx, vectors, dim, n, r)
	if ctx.Err() != nil {
		return nil
	}
	return newAxes(axes)
}

// Along sets out to the coordinates of x along the first len(out) axes.
func (a *Axes) Along(out, x []float32) { a.along(out, x) }

// Apart is an upper bound on the distance of two vectors along any number of the axes, as Along
// computes them, if they are at most distance apart and at most length long. Along all axes,
// |P (x - y)|² is at most the norm of P Pᵀ times the squared distance, and each vector has lost
// at most blur to rounding; along fewer axes both are smaller.
func (a *Axes) Apart(distance, length float64) float64 {
	return math.Sqrt(1+a.skew)*distance + 2*a.blur*length
}
