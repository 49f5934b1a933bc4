package batch

import (
	"context"
	"fmt"
	"time"
)

// Full is the error of items that were not taken on: the queue has no room for
// them, or they would not be done before the caller's deadline. After is when to
// try again.
type Full struct{ After time.Duration }

func (f *Full) Error() string {
	return fmt.Sprintf("too busy: try again in %v", f.After.Round(time.Millisecond))
}

// Admit takes n items on, all or none, before they are there: ready is the time until
// they will be. Those items are then for Run, or for Leave. An error is *Full, where
// the queue has no room or they would not be done before the deadline of ctx, or that
// of ctx. With nothing ahead there is nothing to wait for, and they are taken on.
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

// Leave gives the places of n admitted items back.
func (b *Batcher[T, R]) Leave(n int) { b.taken.Add(-int64(n)) }

// slack is the share of the time to the deadline that predictions may fill: they are
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

// predict is how long n items take from now, by the time that batches took lately.
func (b *Batcher[T, R]) predict(n int) time.Duration {
	size, workers := b.size.now(), b.config.Workers
	if b.short() {
		workers = 1
	}
	rounds := (n + size*workers - 1) / (size * workers)
	each := min(size, (n+workers-1)/workers)
	return time.Duration(float64(rounds) * b.cost.of(each) * float64(time.Second))
}
