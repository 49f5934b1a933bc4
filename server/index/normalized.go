package index

import (
	"errors"
	"math"

	"vicreg/pipeline/stats"
)

// ErrNormalized is why vectors that somebody has brought to length 1 have no place beside
// others where a centre is subtracted first. What the model gave cannot be had back from
// them: their lengths are lost.
var ErrNormalized = errors.New("the index subtracts the model's mean first, which cannot be done to vectors of length 1 any more: send them as the model gives them, without normalize and center")

// How near to 1 a length is that a vector was brought to.
const (
	// rounded allows for numbers that were kept in 16 bits or in four decimals.
	rounded = 1e-3
	// exact allows for the rounding of float32.
	exact = 2e-6
	// longMean is the length of a mean from which a vector of the model's own is hardly ever
	// so near to length 1: the lengths of those that it is of have a mean as long or longer,
	// and of such that scatter by two fifths (log-normal) it is one of a hundred thousand.
	longMean = 4
)

// Normalized says that a vector has been brought to length 1, and that this does harm:
// without a centre it does none. Nothing but the length tells. Where a vector may well
// have a length of about 1 by itself, as the mean says, only what float32 rounds counts:
// of a hundred thousand such vectors one or two are wronged.
func (b Binding) Normalized(vector []float32) bool {
	if b.Center == nil {
		return false
	}
	within := exact
	if stats.Norm(b.Center) > longMean {
		within = rounded
	}
	return math.Abs(stats.Norm(vector)-1) <= within
}
