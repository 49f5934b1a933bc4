package index_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"vicreg/server/index"
)

// What is done to a file without searching it does not take the memory of its vectors.
func TestVectorsStayOnDisk(t *testing.T) {
	const items, dim = 17000, 512 // more than are read before progress is first reported
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x.index")
	f := open(t, path, index.Options{Binding: index.Binding{Fingerprint: "f", Dim: dim}, Create: true})
	batch := make([]index.Item, 1000)
	for n := range items / len(batch) {
		for i := range batch {
			v := make([]float32, dim)
			v[(n+i)%dim] = 1
			batch[i] = index.Item{ID: fmt.Sprint(n, i), Vector: v}
		}
		put(t, f, "default", batch...)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, batch = nil, nil
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, do := range map[string]func(progress func(done, total int)) error{
		"Describe": func(p func(done, total int)) error { _, err := index.Describe(ctx, path, p); return err },
		"Survey":   func(p func(done, total int)) error { _, err := index.Survey(ctx, path, p); return err },
		"Backup": func(p func(done, total int)) error {
			_, err := index.Backup(ctx, path, filepath.Join(t.TempDir(), "copy.index"), p)
			return err
		},
	} {
		before, grown, vectors := heap(), int64(-1), int64(0)
		err := do(func(done, total int) {
			grown, vectors = heap()-before, int64(done)*dim*4
			if total != items {
				t.Errorf("%s: of %d items", name, total)
			}
		})
		if err != nil || grown < 0 || grown > vectors/3 {
			t.Errorf("%s: %v, with %d bytes in memory of vectors of %d", name, err, grown, vectors)
		}
		t.Logf("%s: %d of %d bytes", name, grown, vectors)
	}
}
