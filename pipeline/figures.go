package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
)

// figures are the results of an evaluation.
type figures struct {
	Fingerprint string       `json:"fingerprint"`
	Images      int          `json:"images"`
	Dim         int          `json:"dim"`
	RankMe      number       `json:"rankme"`
	Spread      number       `json:"spread"`                 // as in training: std of the L2-normalised vectors, times sqrt(D)
	Std         number       `json:"normalized_std"`         // the same without sqrt(D)
	Copies      int          `json:"in_reference,omitempty"` // images that are also files of the reference
	Kinds       *kindFigures `json:"kinds,omitempty"`
}

// number is a figure that may be undefined, which is null in JSON.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// text formats the figure, or returns undefined if it is NaN.
func (n number) text(format, undefined string) string {
	if math.IsNaN(float64(n)) {
		return undefined
	}
	return fmt.Sprintf(format, float64(n))
}
