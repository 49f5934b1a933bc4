package items

import (
	"context"
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
	if <-set; err != nil || s.stats().Items != 0 {
		t.Errorf("%v", err)
	}
}

// A known percentile is included in the answer.
func TestPercentile(t *testing.T) {
	if got := hitOf("default", index.Hit{ID: "x", Percentile: 99.5}, true); *got.Percentile != 99.5 {
		t.Errorf("%+v", got)
	}
}

// measured is an index of very many namespaces: whoever visits them panics.
type measured struct {
	Index
	times int // that it was measured
}

func (m *measured) Binding() index.Binding         { return index.Binding{Fingerprint: "f"} }
func (m *measured) Fields(string) ([]string, bool) { return nil, false }
func (m *measured) Names(int) []string             { return nil }
func (m *measured) Stats() index.Stats {
	m.times++
	return index.Stats{Items: 7_000_000, Namespaces: 3_000_000, Memory: 5, Disk: 6, Log: 8}
}

// However many namespaces there are, a scrape measures the index once, and neither it nor /info
// nor the note of an empty search visits them.
func TestManyNamespaces(t *testing.T) {
	metrics, m := prometheus.NewRegistry(), &measured{}
	s := New(Config{}, slog.New(slog.DiscardHandler), Host{}, metrics)
	s.SetIndex(m)
	families, err := metrics.Gather()
	if err != nil || m.times != 1 {
		t.Errorf("measured %d times, %v", m.times, err)
	}
	values := map[string]float64{}
	for _, family := range families {
		values[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
	}
	for name, want := range map[string]float64{"items": 7_000_000, "memory_bytes": 5, "disk_bytes": 6, "wal_bytes": 8} {
		if values["vicreg_index_"+name] != want {
			t.Errorf("%s is %v", name, values["vicreg_index_"+name])
		}
	}
	if about := s.Describe(model{}).(map[string]any); about["items"] != 7_000_000 || about["namespaces"] != 3_000_000 {
		t.Errorf("%v", about)
	}
	if got := note(context.Background(), m, "nobody", nil); got != "namespace nobody is empty" {
		t.Error(got)
	}
}
