package items

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/index"
)

// empty is an index that is there and has nothing.
type empty struct{ Index }

// A request that is at the index keeps it in service.
func TestSetIndexWaits(t *testing.T) {
	s, m := New(Config{}, slog.New(slog.DiscardHandler), Host{}, prometheus.NewRegistry()), &empty{}
	s.SetIndex(m)
	set := make(chan struct{})
	err := s.at(func(items Index) error {
		go func() {
			s.SetIndex(nil)
			close(set)
		}()
		for s.mu.TryRLock() { // until SetIndex waits
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

// A percentile that is known is told.
func TestPercentile(t *testing.T) {
	if got := hitOf("default", index.Hit{ID: "x", Percentile: 99.5}, true); *got.Percentile != 99.5 {
		t.Errorf("%+v", got)
	}
}
