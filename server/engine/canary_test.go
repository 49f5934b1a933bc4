package engine

import (
	"slices"
	"strings"
	"testing"
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
	if err := k.send(t.Context(), e); err == nil || !strings.Contains(err.Error(), "from that at the start") {
		t.Errorf("got %v", err)
	}
}
