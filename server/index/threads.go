package index

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// threads shares the cores between searches: a single one gets all that are free, many get one
// each.
type threads struct {
	n     int64
	taken *semaphore.Weighted
}

func newThreads(n int) *threads { return &threads{int64(n), semaphore.NewWeighted(int64(n))} }

// take waits for a thread and adds free ones, up to the number of parts. free returns them.
func (t *threads) take(ctx context.Context, parts int) (n int, free func(), err error) {
	if err := t.taken.Acquire(ctx, 1); err != nil {
		return 0, nil, err
	}
	got := int64(1)
	for got < min(t.n, int64(parts)) && t.taken.TryAcquire(1) {
		got++
	}
	return int(got), func() { t.taken.Release(got) }, nil
}
