package index_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/index/store"
)

// A load that is cancelled ends and releases the file; one that meets an invalid row leaves it out.
func TestLoadEnds(t *testing.T) {
	const items = 30000 // more than are read before progress is first reported
	ctx := context.Background()
	f := made(t, items)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(ctx)
	told := 0
	_, err := index.Open(stopped, f.Path(), index.Options{Progress: func(done, total int) {
		if told = done; total != items {
			t.Errorf("of %d items", total)
		}
		stop()
	}})
	if !errors.Is(err, context.Canceled) || told < 1<<14 {
		t.Fatalf("%v after %d items", err, told)
	}
	good := store.Row{Namespace: "default", ID: "00000", Vector: []float32{1, 0, 0}, Metadata: []byte("{}")}
	pointless, listed := good, good
	pointless.Vector, listed.Metadata = []float32{0, 0, 0}, []byte("[]")
	for says, row := range map[string]store.Row{"has no direction": pointless, "object": listed} {
		overwrite(t, f.Path(), row)
		g := open(t, f.Path(), index.Options{})
		if bad := g.Damaged(); g.Len() != items-1 || len(bad) != 1 || bad[0].ID != "00000" || !strings.Contains(bad[0].Reason, says) {
			t.Errorf("a row that %s: %v, and %d items", says, bad, g.Len())
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(t, f.Path(), good)
	if g := open(t, f.Path(), index.Options{Threads: 5}); g.Len() != items {
		t.Errorf("%d items", g.Len())
	}
}

// overwrite stores a row, bypassing all checks.
func overwrite(t *testing.T, path string, row store.Row) {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Apply(ctx, []store.Change{{Row: row}}), db.Close()); err != nil {
		t.Fatal(err)
	}
}
