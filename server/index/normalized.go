package index

import (
	"errors"
	"math"

	"vicreg/pipeline/stats"
)

// ErrNormalized is the error for vectors normalised to length 1 where a centre is subtracted
// first. The model's output cannot be recovered from them: the lengths are lost.
var ErrNormalized = errors.New("the index first subtracts the model's mean, which is impossible once vectors have been normalised to length 1: send them as the model gives them, without normalize and center")

// How near to 1 the length of a normalised vector is.
const (
	// rounded allows for numbers stored in 16 bits or with four decimals.
	rounded = 1e-3
	// exact allows for the rounding of float32.
	exact = 2e-6
	// longMean is the length of a mean from which a model's own vectors are hardly ever so near
	// to length 1: the average of their lengths is at least that of their mean, and if lengths
	// scatter by two fifths (log-normal), one vector in a hundred thousand is.
	longMean = 4
)

// Normalized reports whether a vector has been normalised to length 1 where that does harm:
// without a centre it does none. Only the length tells. If, going by the mean, vectors may well
// have a length of about 1 by themselves, only float32 rounding is allowed for: one or two in a
// hundred thousand such vectors are misjudged.
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
