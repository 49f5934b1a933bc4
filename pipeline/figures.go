package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
)

// figures are what an evaluation finds.
type figures struct {
	Fingerprint string       `json:"fingerprint"`
	Images      int          `json:"images"`
	Dim         int          `json:"dim"`
	RankMe      number       `json:"rankme"`
	Spread      number       `json:"spread"`                 // as training's: std of the vectors at length 1 times sqrt(D)
	Std         number       `json:"normalized_std"`         // the same without sqrt(D)
	Copies      int          `json:"in_reference,omitempty"` // images that are files of the reference, too
	Kinds       *kindFigures `json:"kinds,omitempty"`
}

// number is a figure that may be undefined, which JSON calls null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// text is the figure in a format, or what to say of one that is undefined.
func (n number) text(format, undefined string) string {
	if math.IsNaN(float64(n)) {
		return undefined
	}
	return fmt.Sprintf(format, float64(n))
}
