package optim

import (
	"fmt"
	"math"
)

// Schedule is a linear warm-up from 0 followed by a cosine to 0.001 of the peak,
// per step, as in the authors' adjust_learning_rate.
type Schedule struct {
	Peak   float64 `json:"peak"`
	Warmup int     `json:"warmup"` // steps
	Total  int     `json:"total"`  // steps
}

// finalShare is the last learning rate over the peak.
const finalShare = 0.001

// At is the learning rate of a step, counted from 0.
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

// Warmup is the number of warm-up steps of a run: the smaller of 10 epochs and a
// tenth of the steps, so that a short run is not all warm-up.
func Warmup(stepsPerEpoch, total int) int { return min(10*stepsPerEpoch, total/10) }

// BaseRate is the learning rate per 256 images where the user gives none, and
// the reason in words. The LARS figures are the authors' for trust 0.001 on
// ImageNet, by batch size, and solo-learn's on CIFAR, which go with For; SGD and AdamW are the common ones of the field.
func BaseRate(recipe, optimizer string, batch, epochs int) (rate float64, why string) {
	switch optimizer {
	case "sgd":
		return 0.05, "sgd: 0.05 per 256 images"
	case "adamw":
		return 5e-4, "adamw: 5e-4 per 256 images"
	}
	if recipe == "cifar" {
		return 0.3, "lars on cifar: 0.3 per 256 images"
	}
	switch {
	case batch >= 2048 && epochs >= 1000:
		rate = 0.2
	case batch >= 1024:
		rate = 0.3
	case batch >= 512:
		rate = 0.4
	case batch >= 256:
		rate = 0.5
	default:
		rate = 0.8
	}
	return rate, fmt.Sprintf("lars: %g per 256 images at batch %d", rate, batch)
}
