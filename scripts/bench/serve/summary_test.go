package main

import (
	"math"
	"testing"
	"time"
)

// Batches of 8 every second are 8 per second, wherever the window begins.
func TestRateOfBatches(t *testing.T) {
	for _, from := range []time.Duration{1500 * time.Millisecond, 2 * time.Second, 2990 * time.Millisecond} {
		var done []time.Duration
		for second := range 10 {
			for range 8 {
				done = append(done, time.Duration(second+1)*time.Second)
			}
		}
		if got := rate(done, from); math.Abs(got-8) > 1e-9 {
			t.Errorf("from %v: %v a second", from, got)
		}
	}
	if rate(nil, 0) != 0 || rate([]time.Duration{1}, 2) != 0 {
		t.Error("of nothing")
	}
}

// Late, early and missing answers do not count, and spans are means.
func TestSummarise(t *testing.T) {
	o := &outcome{samples: []sample{
		{due: 0, done: 5, status: 200},
		{due: 8, done: 12, status: 200, spans: [3]float32{1, 2, 3}, batch: 4},
		{due: 9, done: 19, status: 200, spans: [3]float32{3, 2, 1}, batch: 2},
		{due: 10, done: 11, status: 429},
		{due: 10, done: 12, status: 0},
		{due: 10, done: 20, status: 200},
	}}
	s := o.summarise(10, 20)
	if s.count != 2 || s.p50 != 4 || s.p99 != 10 || s.spans != [3]float64{2, 2, 2} || s.batch != 3 {
		t.Errorf("%+v", s)
	}
}

func TestSlope(t *testing.T) {
	line := []point{{1, 5}, {2, 7.5}, {3, 9.5}, {4, 12}}
	if got := slope(line); math.Abs(got-2.3) > 1e-9 {
		t.Errorf("%v", got)
	}
}

// The error of a promise is the larger of the two ratios, at the resolution of the retries; whole
// seconds are accurate if they are the next one up.
func TestTruthOfPromises(t *testing.T) {
	const msec = time.Millisecond
	for _, c := range []struct {
		fine, whole, accepted   time.Duration
		wantFine, wantWholeTime float64
	}{
		{200 * msec, time.Second, 100 * msec, 2, 1},
		{100 * msec, time.Second, 200 * msec, 2, 1},
		{1 * msec, time.Second, 20 * msec, 1, 1},
		{1500 * msec, 2 * time.Second, 3 * time.Second, 2, 1.5},
		{1500 * msec, 2 * time.Second, 500 * msec, 3, 2},
		{1500 * msec, 2 * time.Second, 1001 * msec, 1500. / 1001, 1},
	} {
		x := trial{fine: c.fine, whole: c.whole, accepted: c.accepted}
		if f, w := x.fineRatio(), x.wholeRatio(); math.Abs(f-c.wantFine) > 1e-9 || math.Abs(w-c.wantWholeTime) > 1e-9 {
			t.Errorf("%+v: %v and %v", c, f, w)
		}
	}
}

func TestDifference(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		a, b []float32
		want float64
	}{
		{[]float32{1, -4}, []float32{1, -3}, 0.25},
		{[]float32{0, 0}, []float32{0, 0}, 0},
		{[]float32{1}, []float32{1, 2}, math.Inf(1)},
		{nil, nil, math.Inf(1)},
		{[]float32{1, nan, 2}, []float32{1, 1, 2}, math.Inf(1)},
		{[]float32{nan, 1}, []float32{nan, 1}, math.Inf(1)},
	} {
		if got := difference(c.a, c.b); got != c.want {
			t.Errorf("%v %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
