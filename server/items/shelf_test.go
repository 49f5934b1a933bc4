package items

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/index"
)

// empty is an index without items.
type empty struct{ Index }

// SetIndex waits for requests that are using the index.
func TestSetIndexWaits(t *testing.T) {
	s, m := New(Config{}, slog.New(slog.DiscardHandler), Host{}, prometheus.NewRegistry()), &empty{}
	s.SetIndex(m)
	set := make(chan struct{})
	err := s.at(func(items Index) error {
		go func() {
			s.SetIndex(nil)
			close(set)
		}()
		for s.mu.TryRLock() { // until SetIndex is waiting for the lock
			s.mu.RUnlock()
		}
		if items != Index(m) {
			t.Error("another index")
		}
		select {
		case <-set:
			t.Error("the index is replaced while it is used")
		default:
		}
		return nil
	})
	if <-set; err != nil || s.items() != 0 {
		t.Errorf("%v", err)
	}
}

// A known percentile is included in the answer.
func TestPercentile(t *testing.T) {
	if got := hitOf("default", index.Hit{ID: "x", Percentile: 99.5}, true); *got.Percentile != 99.5 {
		t.Errorf("%+v", got)
	}
}
