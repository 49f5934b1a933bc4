package engine

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A change in the canary's vector is an error.
func TestCanaryNotices(t *testing.T) {
	e := start(t, nil)
	k := &e.canary
	if err := k.send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	k.golden = slices.Clone(k.golden)
	k.golden[3] += 10
	if err := k.send(t.Context(), e); err == nil || !strings.Contains(err.Error(), "from that at startup") {
		t.Errorf("got %v", err)
	}
}

// The canary's age does not depend on the wall clock: package time ignores that in the difference
// of two times with a monotonic reading, which Round(0) strips.
func TestCanaryAge(t *testing.T) {
	e := start(t, nil)
	k := &e.canary
	k.stop() // it is sent by hand here
	k.done.Wait()
	first := *k.last.Load()
	if err := k.send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	last := *k.last.Load()
	if !last.After(first) {
		t.Errorf("passed at %v, and then at %v", first, last)
	}
	for _, at := range []time.Time{first, last} {
		if at == at.Round(0) {
			t.Errorf("%v has no monotonic reading", at)
		}
	}
	k.golden = slices.Clone(k.golden)
	k.golden[3] += 10
	if err := k.send(t.Context(), e); err == nil || *k.last.Load() != last {
		t.Errorf("failed with %v at %v, and counts as passed", err, *k.last.Load())
	}
	long := last.Add(-time.Hour)
	k.last.Store(&long)
	if age := e.Stats().CanaryAge; age < time.Hour {
		t.Errorf("after an hour its age is %v", age)
	}
}
