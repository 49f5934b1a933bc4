package optim

import "math"

// Schedule is a linear warm-up from 0 followed by a cosine to 0.001 of the peak,
// per step, as in the authors' adjust_learning_rate.
type Schedule struct {
	Peak   float64 `json:"peak"`
	Warmup int     `json:"warmup"` // steps
	Total  int     `json:"total"`  // steps
}

// finalShare is the ratio of the last learning rate to the peak.
const finalShare = 0.001

// At returns the learning rate of a step, counted from 0.
func (s Schedule) At(step int) float64 {
	if step < s.Warmup {
		return s.Peak * float64(step) / float64(s.Warmup)
	}
	if s.Total <= s.Warmup {
		return s.Peak
	}
	progress := math.Min(1, float64(step-s.Warmup)/float64(s.Total-s.Warmup))
	q := 0.5 * (1 + math.Cos(math.Pi*progress))
	return s.Peak * (q + finalShare*(1-q))
}
