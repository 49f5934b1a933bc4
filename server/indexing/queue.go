package indexing

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// batchItems is the maximum number of items stored at once; each batch costs a sync of the disk.
const batchItems = 256

// sideBySide runs a producer and a consumer concurrently; take gets as many items at a time as
// are ready, up to batchItems. An error of either ends both. What was produced before ctx ended
// is still consumed: take's context does not end with ctx.
func sideBySide[T any](ctx context.Context, produce func(ctx context.Context, send func(T) error) error,
	take func(ctx context.Context, batch []T) error) error {
	keep := context.WithoutCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	queue := make(chan T, 2*batchItems)
	group.Go(func() error {
		defer close(queue)
		return produce(ctx, func(x T) error {
			select {
			case queue <- x:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error {
		for first := range queue {
			batch := []T{first}
			for len(batch) < batchItems && len(queue) > 0 {
				batch = append(batch, <-queue)
			}
			if err := take(keep, batch); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}
