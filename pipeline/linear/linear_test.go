package linear

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/pipeline/stats"
)

// clouds returns n samples scattered around a mean per kind with standard deviation noise; every
// dimension has an offset.
func clouds(n, kinds, d int, noise float64, seed uint64) Samples {
	means, r := rand.New(rand.NewPCG(7, 7)), rand.New(rand.NewPCG(seed, 1))
	centres := stats.New(kinds, d)
	for i := range centres.Data {
		centres.Data[i] = float32(100 + means.NormFloat64())
	}
	s := Samples{X: stats.New(n, d)}
	for i := range n {
		s.Labels, s.Parts = append(s.Labels, i%kinds), append(s.Parts, i/kinds%PartCount)
		for j, c := range centres.Row(i % kinds) {
			s.X.Row(i)[j] = c + float32(noise*r.NormFloat64())
		}
	}
	return s
}

func accuracyOf(r Result, s Samples) float64 { return stats.Accuracy(Classes(r.Scores), s.Labels) }

func TestTransferAndCrossValidate(t *testing.T) {
	p := prober(t)
	for _, c := range []struct{ noise, least, most float64 }{{0.1, 1, 1}, {1.5, 0.6, 0.99}, {1e4, 0.1, 0.5}} {
		train, test := clouds(200, 4, 6, c.noise, 1), clouds(120, 4, 6, c.noise, 2)
		r, err := p.Transfer(t.Context(), train, test.X, 4)
		if err != nil {
			t.Fatal(err)
		}
		if a := accuracyOf(r, test); a < c.least || a > c.most || len(r.L2) != 1 || !slices.Contains(grid, r.L2[0]) {
			t.Errorf("noise %g: transfer %g, penalty %v", c.noise, a, r.L2)
		}
		first, err := p.CrossValidate(t.Context(), train, 4)
		if err != nil {
			t.Fatal(err)
		}
		if a := accuracyOf(first, train); a < c.least || a > c.most || len(first.L2) != PartCount {
			t.Errorf("noise %g: cross-validation %g, penalties %v", c.noise, a, first.L2)
		}
		again, err := p.CrossValidate(t.Context(), train, 4)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(first.Scores.Data, again.Scores.Data) {
			t.Errorf("noise %g: other scores for the same samples", c.noise)
		}
	}
}

// A sample must not be scored by a classifier that has seen it: vectors that only identify their
// sample can be memorised, and are wrong for all others.
func TestCrossValidateDoesNotLeak(t *testing.T) {
	n := 40
	s := Samples{X: stats.New(n, n)}
	for i := range n {
		s.X.Row(i)[i] = 1
		s.Labels, s.Parts = append(s.Labels, i%2), append(s.Parts, i/2%PartCount)
	}
	m, err := newProducts(prober(t), n, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	o := newObjective(t.Context(), m, s)
	c, err := o.minimize(0.001, tolerance, make([]float64, o.size()))
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := c.scores(t.Context(), s.X)
	if err != nil {
		t.Fatal(err)
	}
	if a := stats.Accuracy(Classes(learnt), s.Labels); a != 1 {
		t.Errorf("%g right of what it was fitted to", a)
	}
	r, err := prober(t).CrossValidate(t.Context(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	if a := accuracyOf(r, s); a > 0.6 {
		t.Errorf("%g right of what no classifier can know", a)
	}
}

// A dead network, nearly constant dimensions and a kind missing from training all give figures,
// none of them NaN.
func TestDegenerateSamples(t *testing.T) {
	p := prober(t)
	dead, still, lacking := clouds(50, 5, 3, 0.1, 1), clouds(50, 5, 3, 0.1, 1), clouds(50, 5, 3, 0.1, 1)
	clear(dead.X.Data)
	for i := range still.X.N {
		still.X.Row(i)[1] = math.Nextafter32(1000, float32(1000*(i%2+1))) // rounding error, not a signal
	}
	lacking = lacking.without(heldOut(Samples{Parts: lacking.Labels}, 4))
	for name, s := range map[string]Samples{"dead": dead, "still": still, "lacking": lacking} {
		r, err := p.CrossValidate(t.Context(), s, 5)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range r.Scores.Data {
			if v-v != 0 {
				t.Fatalf("%s: a score is %v", name, v)
			}
		}
		if a := accuracyOf(r, s); name != "dead" && a != 1 || name == "dead" && a > 0.2 {
			t.Errorf("%s: %g right", name, a)
		}
	}
}

func TestEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := clouds(50, 2, 3, 1, 1)
	if _, err := prober(t).CrossValidate(ctx, s, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("cross-validation: %v", err)
	}
	if _, err := prober(t).Transfer(ctx, s, s.X, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("transfer: %v", err)
	}
}

// The gradient matches finite differences of the loss along random directions.
func TestGradient(t *testing.T) {
	s := clouds(60, 3, 4, 1, 1)
	m, err := newProducts(prober(t), 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	o := newObjective(t.Context(), m, s)
	o.l2 = 0.3
	r := rand.New(rand.NewPCG(3, 3))
	w, g, moved := make([]float64, o.size()), make([]float64, o.size()), make([]float64, o.size())
	for i := range w {
		w[i] = r.NormFloat64()
	}
	o.gradient(g, w)
	for range 5 {
		const step = 1e-2
		want, along, direction := 0.0, 0.0, make([]float64, len(w))
		for i := range w {
			direction[i] = r.NormFloat64()
			along += g[i] * direction[i]
		}
		for _, sign := range []float64{1, -1} {
			for i := range w {
				moved[i] = w[i] + sign*step*direction[i]
			}
			want += sign * o.value(moved) / (2 * step)
		}
		if math.Abs(along-want) > 1e-3*(1+math.Abs(want)) {
			t.Errorf("along a direction %g, by differences %g", along, want)
		}
	}
	if o.err != nil {
		t.Error(o.err)
	}
}

func BenchmarkTransfer(b *testing.B) {
	train, test := clouds(10_000, 10, 512, 3, 1), clouds(2_000, 10, 512, 3, 2)
	p := prober(b)
	for b.Loop() {
		if _, err := p.Transfer(b.Context(), train, test.X, 10); err != nil {
			b.Fatal(err)
		}
	}
}

// A fit ends when no step lowers the loss any more within the precision of the scores, where a line
// search would go on for ever.
func TestFitEndsWhereTheLossIsFlat(t *testing.T) {
	for _, seed := range []uint64{5, 6} { // seeds for which it would
		s := clouds(8, 6, 768, 0.1, seed)
		m, err := newProducts(prober(t), s.X.D, 6)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		o := newObjective(t.Context(), m, s)
		if _, err := o.minimize(grid[0], looseTolerance, make([]float64, o.size())); err != nil {
			t.Fatal(err)
		}
	}
}
