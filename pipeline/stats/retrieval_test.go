package stats

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// ranked returns neighbours with these labels, in order.
func ranked(labels ...int) (near []Neighbor, of []int) {
	for i := range labels {
		near = append(near, Neighbor{i, 1 - float32(i)/10})
	}
	return near, labels
}

// By hand, for queries of kind 1. The second row is the paper's example (section 4.2): of 10 to
// find, only the first neighbour is one.
func TestAveragePrecisionByHand(t *testing.T) {
	for _, c := range []struct {
		labels []int
		r      int
		want   float64
		first  int
	}{
		{[]int{1, 1, 1}, 3, 1, 0},
		{[]int{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 0.1, 0},
		{[]int{1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 0.2, 0},
		{[]int{0, 1, 1}, 3, (1./2 + 2./3) / 3, 1},
		{[]int{1, 0, 1, 1}, 3, (1 + 2./3) / 3, 0}, // the fourth is beyond R
		{[]int{0, 1}, 1, 0, 1},
		{[]int{0, 0, 0}, 2, 0, 3},
		{[]int{1}, 4, 1. / 4, 0}, // fewer neighbours than R
		{nil, 1, 0, 0},
	} {
		near, labels := ranked(c.labels...)
		if got := AveragePrecision(near, labels, 1, c.r); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v at %d: %g, want %g", c.labels, c.r, got, c.want)
		}
		if got := FirstOf(near, labels, 1); got != c.first {
			t.Errorf("%v: %d before the first, want %d", c.labels, got, c.first)
		}
	}
}

// Chance is the mean over all orders.
func TestChanceIsTheMeanOverOrders(t *testing.T) {
	for n := 1; n <= 6; n++ {
		for r := 1; r <= n; r++ {
			labels := make([]int, n)
			for i := range r {
				labels[i] = 1
			}
			orders, precision, within := 0.0, 0.0, make([]float64, n+2)
			permute(labels, 0, func(order []int) {
				near, of := ranked(order...)
				orders++
				precision += AveragePrecision(near, of, 1, r)
				for k := range within {
					if FirstOf(near, of, 1) < k {
						within[k]++
					}
				}
			})
			if got := ChanceOfPrecision(r, n); math.Abs(got-precision/orders) > 1e-12 {
				t.Errorf("%d of %d: precision %g, want %g", r, n, got, precision/orders)
			}
			for k, hits := range within {
				if got := ChanceOfOne(r, n, k); math.Abs(got-hits/orders) > 1e-12 {
					t.Errorf("%d of %d, one in %d: %g, want %g", r, n, k, got, hits/orders)
				}
			}
		}
	}
}

// permute calls visit with every permutation of x[i:].
func permute(x []int, i int, visit func([]int)) {
	if i == len(x) {
		visit(x)
		return
	}
	for j := i; j < len(x); j++ {
		x[i], x[j] = x[j], x[i]
		permute(x, i+1, visit)
		x[i], x[j] = x[j], x[i]
	}
}

// The k nearest are a prefix of all neighbours for every k, ties included.
func TestNeighborsAreAPrefix(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	base, queries := New(3000, 2), New(5, 2)
	for _, m := range []Matrix{base, queries} {
		for i := range m.Data {
			m.Data[i] = float32(r.IntN(5) - 2) // few distinct directions, and zero vectors
		}
	}
	all := Neighbors(base, queries, base.N)
	for q, near := range all {
		if len(near) != base.N || !slices.IsSortedFunc(near, better) {
			t.Fatalf("query %d: %d neighbours, or out of order", q, len(near))
		}
	}
	for _, k := range []int{1, 2, 63, 700, 2999} {
		for q, near := range Neighbors(base, queries, k) {
			if !slices.Equal(near, all[q][:k]) {
				t.Errorf("the first %d of query %d are others", k, q)
			}
		}
	}
	EachNeighbors(t.Context(), base, queries, func(q int) int { return q + 1 }, func(q int, near []Neighbor) {
		if !slices.Equal(near, all[q][:q+1]) {
			t.Errorf("query %d: got %v", q, near)
		}
	})
}

func TestEachNeighborsEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := EachNeighbors(ctx, New(2, 2), New(2, 2), func(int) int { return 1 }, func(int, []Neighbor) { t.Error("visited") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAccuraciesByHand(t *testing.T) {
	predicted, labels := []int{0, 0, 0, 1, 2, -1}, []int{0, 0, 0, 0, 2, 2}
	near(t, "accuracy, balanced", []float64{Accuracy(predicted, labels), BalancedAccuracy(predicted, labels)}, []float64{4. / 6, (3./4 + 1./2) / 2})
	if got := []float64{Accuracy(nil, nil), BalancedAccuracy(nil, nil), TopAccuracy(New(0, 3), nil, 1)}; !slices.ContainsFunc(got, math.IsNaN) || slices.ContainsFunc(got, func(v float64) bool { return v == v }) {
		t.Errorf("of none: %v", got)
	}
	scores := Of([]float32{3, 2, 1, 1, 1, 1}, 2, 3)
	for k, want := range []float64{0, 0, 0.5, 1} { // labels 1 and 2 rank second, and third among equals
		if got := TopAccuracy(scores, []int{1, 2}, k); got != want {
			t.Errorf("in the top %d: %g, want %g", k, got, want)
		}
	}
}

// Values of scipy's binomtest(...).proportion_ci(method="wilson").
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		share     float64
		n         int
		low, high float64
	}{
		{0.5, 100, 0.403831530, 0.596168470},
		{0.9, 10, 0.595849973, 0.982123787},
		{1, 20, 0.838874842, 1},
		{0, 20, 0, 0.161125158},
	} {
		low, high := Wilson(c.share, c.n)
		near(t, "interval", []float64{low, high}, []float64{c.low, c.high})
	}
	if low, high := Wilson(math.NaN(), 0); low == low || high == high {
		t.Errorf("of none: %g to %g", low, high)
	}
}
