package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// covarianceTerm is the term for one view, by its definition.
func covarianceTerm(z Matrix) float64 {
	mean := columnMeans(z)
	var sum float64
	for i := range z.D {
		for j := range z.D {
			var c float64
			for r := range z.N {
				c += (float64(z.Row(r)[i]) - mean[i]) * (float64(z.Row(r)[j]) - mean[j])
			}
			if i != j {
				sum += math.Pow(c/float64(z.N-1), 2)
			}
		}
	}
	return sum / float64(z.D)
}

// Whatever the number of samples and the true covariances, the converted term matches its average
// at the other number of samples.
func TestCovarianceTermAt(t *testing.T) {
	const d, n, m, times = 12, 40, 120, 300
	r := rand.New(rand.NewPCG(1, 2))
	for _, common := range []float64{0, 0.5, 2} { // weight of a component that all dimensions share
		draw := func(n int) Matrix {
			z := New(n, d)
			for i := range n {
				shared := common * r.NormFloat64()
				for j := range z.Row(i) {
					z.Row(i)[j] = float32(shared + 0.5*r.NormFloat64())
				}
			}
			return z
		}
		var moved, want, unmoved float64
		for range times {
			few, many := draw(n), draw(m)
			unmoved += covarianceTerm(few) / times
			moved += CovarianceTermAt(covarianceTerm(few), VariancePairs(few), n, m) / times
			want += covarianceTerm(many) / times
		}
		t.Logf("%g in common: %.4f of %d samples, %.4f of %d, moved to %.4f", common, unmoved, n, want, m, moved)
		if !(math.Abs(moved/want-1) < 0.08) {
			t.Errorf("%g in common: %v, want %v", common, moved, want)
		}
		if common == 0 && unmoved < 2*want {
			t.Errorf("the term of few samples is %v, that of many %v: nothing is shown", unmoved, want)
		}
	}
}

func TestCovarianceTermStaysWithItsNumber(t *testing.T) {
	if got := CovarianceTermAt(3, 20, 50, 50); !(math.Abs(got-3) < 1e-12) {
		t.Errorf("%v, want 3", got)
	}
	if got := CovarianceTermAt(0.1, 20, 50, 1000); got != 0 { // far below the chance level
		t.Errorf("%v, want 0", got)
	}
}
