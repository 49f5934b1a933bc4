package main

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// served returns a load on a server that answers with f.
func served(t *testing.T, f http.HandlerFunc) *load {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	m := post("/", make([]byte, digits), []int{0})
	m.kind = "test"
	return &load{addr: s.Listener.Addr().String(), messages: []*message{m}, numbers: new(atomic.Uint64)}
}

// Each request of a closed load has a unique number, and requests in progress at the end are
// completed.
func TestClosed(t *testing.T) {
	var endings [256]atomic.Int64 // by the last digit
	ctx, enough := context.WithCancel(t.Context())
	var count atomic.Int64
	l := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		endings[body[digits-1]].Add(1)
		if count.Add(1) >= 160 {
			enough()
		}
		w.Header().Set("X-Batch-Size", "3")
	})
	o := l.closed(ctx, 4)
	if int64(len(o.samples)) != count.Load() || l.answers.Load() != count.Load() || o.statuses()[200] != len(o.samples) || len(o.samples) < 160 {
		t.Errorf("%d samples of %d requests, %v", len(o.samples), count.Load(), o.statuses())
	}
	for _, digit := range "0123456789abcdef" {
		if n := endings[digit].Load(); n < 9 {
			t.Errorf("%d numbers end in %c", n, digit)
		}
	}
	if s := o.summarise(0, math.MaxInt64); s.batch != 3 {
		t.Errorf("batches of %v", s.batch)
	}
}

// With one client, a request of an open load waits for the previous one, and that wait is part of
// its latency.
func TestOpenCountsFromTheSchedule(t *testing.T) {
	l := served(t, func(http.ResponseWriter, *http.Request) {})
	o := l.open(t.Context(), make([]time.Duration, 20), 1)
	if len(o.samples) != 20 {
		t.Fatalf("%d samples", len(o.samples))
	}
	for i, s := range o.samples {
		if s.due != 0 || i > 0 && s.sent < o.samples[i-1].done {
			t.Errorf("request %d: due %v, sent %v", i, s.due, s.sent)
		}
	}
	last := o.samples[19]
	if s := o.summarise(0, math.MaxInt64); s.p999 != last.done || o.late() != last.sent {
		t.Errorf("longest latency %v, sent %v late; want %v, %v", s.p999, o.late(), last.done, last.sent)
	}
}

func TestJudgedAndRefused(t *testing.T) {
	var n atomic.Int64
	l := served(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 3 {
		case 0:
			w.Header().Set("Retry-After-Ms", "40")
			w.WriteHeader(429)
		case 1:
			w.WriteHeader(500)
		}
	})
	l.judge = func(_ *message, r *reply) error {
		if r.status == 500 {
			return errors.New("that was wrong")
		}
		return nil
	}
	o := l.open(t.Context(), make([]time.Duration, 9), 1)
	bad, err := o.bad(200, 429)
	if bad != 3 || !strings.Contains(err.Error(), "3 with a wrong answer") || !strings.Contains(err.Error(), "test: that was wrong") {
		t.Errorf("%d: %v", bad, err)
	}
	if o.statuses()[429] != 3 || o.samples[2].promise != 40*time.Millisecond {
		t.Errorf("%v, %+v", o.statuses(), o.samples[2])
	}
	if bad, _ := o.bad(200); bad != 6 {
		t.Errorf("%d went wrong when 429 may not be, want 6", bad)
	}
}

// The number of arrivals of a Poisson process has a variance equal to its mean, and the gaps have a
// variance equal to their mean squared.
func TestPoisson(t *testing.T) {
	s := poisson(1000, 10*time.Second, 3)
	if n := float64(len(s)); math.Abs(n-10_000) > 500 {
		t.Errorf("%v arrivals, want about 10000", n)
	}
	if !slices.IsSorted(s) || s[len(s)-1] >= 10*time.Second {
		t.Error("not in order, or over the end")
	}
	var squares float64
	for i := 1; i < len(s); i++ {
		squares += math.Pow(ms(s[i]-s[i-1]), 2)
	}
	if mean := squares / float64(len(s)); math.Abs(mean-2) > 0.3 {
		t.Errorf("mean square of the gaps %v, want about 2", mean)
	}
	if !slices.Equal(s, poisson(1000, 10*time.Second, 3)) || slices.Equal(s, poisson(1000, 10*time.Second, 4)) {
		t.Error("the seed is not what decides")
	}
}
