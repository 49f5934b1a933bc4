package batch

import (
	"context"
	"fmt"
	"time"
)

// Full is the error of items that were not admitted: either the queue has no room for them, or they
// would miss the caller's deadline. After is when to retry.
type Full struct{ After time.Duration }

func (f *Full) Error() string {
	return fmt.Sprintf("too busy: try again in %v", f.After.Round(time.Millisecond))
}

// Admit reserves places for n items, all or none, before the items exist: ready is how long until
// they do. The caller must then pass them to Run or give the places back with Leave. The error is
// *Full if the queue has no room or the items would miss ctx's deadline, otherwise ctx's own error.
// If no items are ahead, the deadline is not checked.
func (b *Batcher[T, R]) Admit(ctx context.Context, n int, ready time.Duration) error {
	ahead := int(b.taken.Add(int64(n))) - n
	err := ctx.Err()
	if err == nil {
		err = b.check(ctx, ahead, n, ready)
	}
	if err != nil {
		b.Leave(n)
	}
	return err
}

// Leave releases the places of n admitted items.
func (b *Batcher[T, R]) Leave(n int) { b.taken.Add(-int64(n)) }

// slack is the fraction of the time to the deadline that a prediction may use up: predictions are
// means, and half of all batches take longer.
const slack = 0.8

func (b *Batcher[T, R]) check(ctx context.Context, ahead, n int, ready time.Duration) error {
	if over := ahead + n - b.config.Queue; over > 0 {
		return &Full{b.predict(over)}
	}
	deadline, limited := ctx.Deadline()
	wait := max(b.predict(ahead+n), ready+b.predict(n))
	if late := wait - time.Duration(slack*float64(time.Until(deadline))); limited && late > 0 && ahead > 0 {
		return &Full{late}
	}
	return nil
}

// predict estimates how long n items take from now, based on recent batches.
func (b *Batcher[T, R]) predict(n int) time.Duration {
	size, workers := b.size.now(), b.config.Workers
	if b.short() {
		workers = 1
	}
	rounds := (n + size*workers - 1) / (size * workers)
	each := min(size, (n+workers-1)/workers)
	return time.Duration(float64(rounds) * b.cost.of(each) * float64(time.Second))
}
