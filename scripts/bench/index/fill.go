package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"vicreg/server/index"
)

// callSize is the number of items in a bulk call.
const callSize = 1000

// filled returns an index of the first n vectors, built once per run and only searched.
func (b *bench) filled(ctx context.Context, n int) (string, error) {
	if path, ok := b.made[n]; ok {
		return path, nil
	}
	path := filepath.Join(b.work, fmt.Sprintf("filled-%d.index", n))
	f, err := b.create(ctx, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	begin := time.Now()
	if err := b.fill(ctx, f, n); err != nil {
		return "", err
	}
	took := time.Since(begin).Seconds()
	say("wrote an index of %d vectors in %.1f s, %.0f a second", n, took, float64(n)/took)
	b.made[n] = path
	return path, f.Close()
}

// create creates an index, replacing an existing one.
func (b *bench) create(ctx context.Context, path string) (*index.File, error) {
	removeIndex(path)
	return index.Open(ctx, path, index.Options{Binding: b.vectors.binding(), Create: true})
}

// fill stores the first n vectors, in calls of callSize.
func (b *bench) fill(ctx context.Context, f *index.File, n int) error {
	if err := b.need(ctx, n); err != nil {
		return err
	}
	items := make([]index.Item, 0, callSize)
	return b.vectors.read(b.vectors.base, n, func(i int, x []float32) error {
		items = append(items, item(i, append([]float32(nil), x...)))
		if len(items) < callSize && i+1 < n {
			return nil
		}
		_, err := f.Upsert(ctx, index.DefaultNamespace, items...)
		items = items[:0]
		return err
	})
}

// item is row i with metadata like an image's.
func item(i int, vector []float32) index.Item {
	bucket := rand.New(rand.NewPCG(uint64(i), 1)).IntN(buckets)
	return index.Item{
		ID: strconv.Itoa(i), Vector: vector, Source: fmt.Sprintf("photos/%03d/%07d.jpg", i/1000, i),
		Metadata: fmt.Appendf(nil, `{"bucket":%d,"label":"kind-%d","number":%d}`, bucket, i%10, i),
	}
}

// removeIndex removes a database and its auxiliary files.
func removeIndex(path string) {
	for _, end := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		os.Remove(path + end)
	}
}
