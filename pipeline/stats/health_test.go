package stats

import (
	"math"
	"testing"
)

// fill returns a matrix with the elements f(i, j).
func fill(n, d int, f func(i, j int) float64) Matrix {
	m := New(n, d)
	for i := range m.Data {
		m.Data[i] = float32(f(i/d, i%d))
	}
	return m
}

func TestRankMeByHand(t *testing.T) {
	eye := fill(6, 6, func(i, j int) float64 {
		if i == j {
			return 2
		}
		return 0
	})
	if got := RankMe(eye); math.Abs(got-6) > 1e-4 {
		t.Errorf("six equal singular values have rank %g", got)
	}
	one := fill(50, 8, func(i, j int) float64 { return float64(i+1) * float64(j-3) })
	if got := RankMe(one); math.Abs(got-1) > 1e-4 {
		t.Errorf("an outer product has rank %g", got)
	}
	if got := RankMe(New(4, 3)); !math.IsNaN(got) {
		t.Errorf("zero has rank %g", got)
	}
	if got := RankMe(Of([]float32{float32(math.Inf(1)), 1}, 1, 2)); !math.IsNaN(got) {
		t.Errorf("infinity has rank %g", got)
	}
}

func TestHealthyAndCollapsed(t *testing.T) {
	healthy := random(2000, 64)
	if got := NormalizedStd(healthy) * math.Sqrt(64); math.Abs(got-1) > 0.01 {
		t.Errorf("gaussian vectors: %g of 1/sqrt(D)", got)
	}
	if got := ShareBelow(healthy, 0.5); got != 0 {
		t.Errorf("gaussian vectors: share %g below 0.5", got)
	}
	if got, _ := MeanAbsCorrelation(healthy); got > 0.03 {
		t.Errorf("gaussian vectors: mean correlation %g", got)
	}
	collapsed := fill(2000, 64, func(_, j int) float64 { return float64(j) / 7 })
	if got := NormalizedStd(collapsed); got != 0 {
		t.Errorf("one point: normalised std %g", got)
	}
	if got := ShareBelow(collapsed, 0.5); got != 1 {
		t.Errorf("one point: share %g below 0.5", got)
	}
	if got, constant := MeanAbsCorrelation(collapsed); !math.IsNaN(got) || constant != 64 {
		t.Errorf("one point: correlation %g, %d constant", got, constant)
	}
	if got := Align(collapsed, collapsed); got.Retrieval != 1.0/2000 || math.Abs(got.Cosine-1) > 1e-6 {
		t.Errorf("one point finds its partner: %+v", got)
	}
	if got := Align(healthy, healthy); got.Retrieval != 1 {
		t.Errorf("vectors do not find themselves: %+v", got)
	}
}

// Dimension 1 is -2 times dimension 0, and dimension 2 is constant; over more than one block of
// dimensions all pairs are perfectly correlated.
func TestCorrelationByHand(t *testing.T) {
	got, constant := MeanAbsCorrelation(Of([]float32{1, -2, 5, 2, -4, 5, 4, -8, 5}, 3, 3))
	if math.Abs(got-1) > 1e-6 || constant != 1 {
		t.Errorf("got %g with %d constant", got, constant)
	}
	got, _ = MeanAbsCorrelation(fill(9, 600, func(i, j int) float64 { return float64(i * (j%5 - 2 + j%2*7)) }))
	if math.Abs(got-1) > 1e-5 {
		t.Errorf("over blocks: got %g", got)
	}
}

func TestFewRows(t *testing.T) {
	one := Of([]float32{1, 2}, 1, 2)
	if got := NormalizedStd(one); !math.IsNaN(got) {
		t.Errorf("one row has std %g", got)
	}
	if got := ShareBelow(one, 0.5); got != 1 {
		t.Errorf("one row is not called healthy: got %g", got)
	}
	if p := FitPCA(one, 2); p.Axes.N != 0 || len(p.Variance) != 0 {
		t.Errorf("one row spans %+v", p)
	}
	if got := SingularValues(New(0, 3)); len(got) != 0 {
		t.Errorf("no row has %v", got)
	}
}

// Mismatched arguments panic.
func TestPanics(t *testing.T) {
	for name, call := range map[string]func(){
		"data":         func() { Of(make([]float32, 5), 2, 3) },
		"width":        func() { Neighbors(New(2, 3), New(2, 4), 1) },
		"k":            func() { Neighbors(New(2, 3), New(2, 3), 0) },
		"scores":       func() { TopAccuracy(New(2, 3), []int{1}, 1) },
		"balanced":     func() { BalancedAccuracy([]int{1}, nil) },
		"none to find": func() { AveragePrecision(nil, nil, 1, 0) },
		"cold":         func() { Vote(nil, nil, 1, 0) },
		"hot":          func() { Vote(nil, nil, 1, math.Inf(1)) },
		"no number":    func() { Vote(nil, nil, 1, math.NaN()) },
		"predictions":  func() { Accuracy([]int{1}, nil) },
		"views":        func() { Align(New(2, 3), New(3, 3)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}
