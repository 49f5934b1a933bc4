package linear

import (
	"context"
	"math"

	"vicreg/models/tensor"
	"vicreg/pipeline/stats"
)

// classifier is a fitted classifier.
type classifier struct {
	m           *products
	scale       scale
	weights     []float64 // [K, D], then intercepts [K]
	l2          float64
	loss        float64 // training loss, including the penalty
	evaluations int     // of the loss
}

// scores returns the scores of vectors not yet standardised: [N, K].
func (c *classifier) scores(ctx context.Context, x stats.Matrix) (stats.Matrix, error) {
	if x.N == 0 {
		return stats.New(0, c.m.k), nil
	}
	out, err := c.m.scores(ctx, c.scale.apply(x), c.weights)
	if err != nil {
		return stats.Matrix{}, err
	}
	scores := stats.Of(out.Float32(), x.N, c.m.k)
	for i := range x.N {
		for j, b := range c.weights[c.m.k*c.m.d:] {
			scores.Row(i)[j] += float32(b)
		}
	}
	return scores, nil
}

// Classes returns the class with the highest score in each row of [N, K]; ties go to the smallest.
func Classes(scores stats.Matrix) []int {
	classes := make([]int, scores.N)
	for i := range classes {
		for j, v := range scores.Row(i) {
			if v > scores.Row(i)[classes[i]] {
				classes[i] = j
			}
		}
	}
	return classes
}

// scale standardises dimensions: subtract the mean, divide by the standard deviation.
type scale struct{ mean, std []float64 }

// constant is the standard deviation, relative to the mean, below which a dimension counts as
// constant: such variation is float32 rounding.
const constant = 1e-6

// scaleOf measures the columns of x; a constant one gets a standard deviation of 1.
func scaleOf(x stats.Matrix) scale {
	s := scale{make([]float64, x.D), make([]float64, x.D)}
	for i := range x.N {
		for j, v := range x.Row(i) {
			s.mean[j] += float64(v) / float64(x.N)
		}
	}
	for i := range x.N {
		for j, v := range x.Row(i) {
			d := float64(v) - s.mean[j]
			s.std[j] += d * d / float64(x.N)
		}
	}
	for j, v := range s.std {
		if s.std[j] = math.Sqrt(v); s.std[j] <= constant*math.Abs(s.mean[j]) {
			s.std[j] = 1
		}
	}
	return s
}

// apply returns x standardised, as a new tensor.
func (s scale) apply(x stats.Matrix) *tensor.Tensor {
	out := tensor.New(tensor.Float32, x.N, x.D)
	for i := range x.N {
		row := out.Float32()[i*x.D:]
		for j, v := range x.Row(i) {
			row[j] = float32((float64(v) - s.mean[j]) / s.std[j])
		}
	}
	return out
}
