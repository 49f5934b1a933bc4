package index

import (
	"math"
	"math/rand/v2"
	"testing"

	"vicreg/pipeline/stats"
)

// near returns n vectors around a mean of this length, as a model outputs them.
func near(mean float64, n int) (center []float32, vectors [][]float32) {
	const dim = 64
	r := rand.New(rand.NewPCG(1, 2))
	center = make([]float32, dim)
	for i := range center {
		center[i] = float32(mean / math.Sqrt(dim))
	}
	for range n {
		v := make([]float32, dim)
		for i := range v {
			v[i] = center[i] * float32(1+r.NormFloat64()/2)
		}
		vectors = append(vectors, v)
	}
	return center, vectors
}

// Normalised vectors are told from a model's own, whatever length those have.
func TestNormalized(t *testing.T) {
	for _, mean := range []float64{0.05, 0.5, 0.9, 1, 1.4, 3, 5, 40} {
		center, vectors := near(mean, 2000)
		b, plain := Bind("f", len(center), center), Bind("f", len(center), make([]float32, len(center)))
		for i, v := range vectors {
			if b.Normalized(v) {
				t.Errorf("mean %v: the vector of length %v is taken for a normalized one", mean, stats.Norm(v))
			}
			stats.Unit(v)
			if !b.Normalized(v) || plain.Normalized(v) {
				t.Errorf("mean %v: vector %d of length %v: %v, without a centre %v", mean, i, stats.Norm(v), b.Normalized(v), plain.Normalized(v))
			}
			for k := range v { // rounded, as a client may store it
				v[k] = float32(math.Round(float64(v[k])*1e4) / 1e4)
			}
			if mean > longMean && !b.Normalized(v) {
				t.Errorf("mean %v: vector %d in four decimals has the length %v", mean, i, stats.Norm(v))
			}
		}
	}
}
