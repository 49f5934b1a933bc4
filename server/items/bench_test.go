package items

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"vicreg/server/index"
)

// BenchmarkManyNamespaces measures what costs nobody a turn: a scrape of the metrics, the index in
// /info, and the note of an empty search in an unknown namespace.
func BenchmarkManyNamespaces(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		f, err := index.Open(context.Background(), filepath.Join(b.TempDir(), "x.index"), index.Options{Create: true, Binding: index.Binding{Fingerprint: "f", Dim: 4}})
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		var group errgroup.Group
		group.SetLimit(256) // many are written together
		for i := range n {
			group.Go(func() error {
				_, err := f.Upsert(context.Background(), fmt.Sprint("user-", i), index.Item{ID: "a", Vector: []float32{1, 2, 3, 4}})
				return err
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		metrics := prometheus.NewRegistry()
		s := New(Config{}, slog.New(slog.DiscardHandler), Host{}, metrics)
		s.SetIndex(f)
		for name, do := range map[string]func() error{
			"scrape": func() error { _, err := metrics.Gather(); return err },
			"info":   func() error { s.Describe(model{}); return nil },
			"note":   func() error { note(context.Background(), f, "nobody", nil); return nil },
		} {
			b.Run(fmt.Sprintf("%s/namespaces=%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// model is one of which only the fingerprint is asked for.
type model struct{ Model }

func (model) Fingerprint() string { return "f" }
