package sketch

import (
	"context"
	"math"
	"math/rand/v2"
)

// Principal finds n axes of vectors [N, D] along which these lie most, about in that order;
// N is at least 1 and D no less than n. The vectors may have any lengths. The same vectors
// give the same axes. When ctx ends it returns nil.
func Principal(ctx context.Context, vectors []float32, dim, n int) *Axes {
	r := rand.New(rand.NewPCG(1, 2))
	axes := leading(ctx, vectors, dim, n, r)
	if ctx.Err() != nil {
		return nil
	}
	return newAxes(axes)
}

// Along sets out to what x is along the first len(out) axes.
func (a *Axes) Along(out, x []float32) { a.along(out, x) }

// Apart is how far apart two vectors can be along any number of the axes, as Along has
// them, when they are no more than distance apart and no longer than length. Along all,
// |P (x - y)|² is at most the norm of P Pᵀ times the square of the distance, and each has
// lost no more than blur to rounding; along fewer both are less.
func (a *Axes) Apart(distance, length float64) float64 {
	return math.Sqrt(1+a.skew)*distance + 2*a.blur*length
}
