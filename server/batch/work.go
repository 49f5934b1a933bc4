package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// work runs batches until the queue is closed and empty. One worker at a time forms batches. It
// hands over its turn before running a batch, unless batches are very short: then it runs them
// itself while the others idle.
func (b *Batcher[T, R]) work() {
	for {
		b.turn <- struct{}{}
		for passed := false; !passed; {
			first, open := <-b.queue
			if !open {
				<-b.turn
				return
			}
			tasks := b.gather(first)
			if passed = !b.short(); passed {
				<-b.turn
			}
			b.finish(tasks)
		}
	}
}

// short reports whether even full batches take no longer than the overhead of starting one: running
// several at once would only make them smaller.
func (b *Batcher[T, R]) short() bool { return b.cost.of(b.size.now()) <= briefly }

const briefly = 1e-3 // seconds

// gather adds waiting items to the first, up to the size that the sizer allows and Cut chooses.
func (b *Batcher[T, R]) gather(first *task[T, R]) []*task[T, R] {
	n := b.cut(b.size.next(1 + len(b.queue)))
	tasks := make([]*task[T, R], 1, n)
	tasks[0] = first
	for len(tasks) < n {
		select {
		case t, open := <-b.queue:
			if !open {
				return tasks
			}
			tasks = append(tasks, t)
		default: // another worker took them first
			return tasks
		}
	}
	return tasks
}

// finish runs a batch, leaving out items whose callers have gone. If the batch fails, its items are
// retried one by one, so that a bad item fails alone.
func (b *Batcher[T, R]) finish(tasks []*task[T, R]) {
	live := tasks[:0:0]
	for _, t := range tasks {
		t.result.Waited = time.Since(t.since)
		if t.result.Err = t.ctx.Err(); t.result.Err == nil {
			live = append(live, t)
		}
	}
	if err := b.try(live); err != nil {
		// After a timeout, running the items one by one would only take longer.
		again := len(live) > 1 && !errors.Is(err, context.DeadlineExceeded)
		for _, t := range live {
			if t.result.Err = err; again {
				t.result.Err = b.retry(t)
			}
		}
	}
	b.Leave(len(tasks))
	for _, t := range tasks {
		t.done.Done()
	}
}

// retry runs one item of a failed batch, unless its caller has gone or the batcher is stopping.
func (b *Batcher[T, R]) retry(t *task[T, R]) error {
	if err := cmp.Or(t.ctx.Err(), b.base.Err()); err != nil {
		return err
	}
	return b.try([]*task[T, R]{t})
}

// try runs the items once, under the batch's own timeout rather than any caller's.
func (b *Batcher[T, R]) try(tasks []*task[T, R]) (err error) {
	if len(tasks) == 0 {
		return nil
	}
	ctx := b.base
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.config.Limit > 0 {
		limited, cancel := context.WithTimeout(ctx, b.config.Limit)
		defer cancel()
		ctx = limited
	}
	defer func() {
		if r := recover(); r != nil {
			if b.config.Panicked != nil {
				b.config.Panicked()
			}
			err = fmt.Errorf("a batch of %d panicked: %v\n%s", len(tasks), r, debug.Stack())
		}
	}()
	items := make([]T, len(tasks))
	for i, t := range tasks {
		items[i] = t.item
	}
	begin := time.Now()
	values, err := b.run(ctx, items)
	took := time.Since(begin)
	if err == nil && len(values) != len(items) {
		err = fmt.Errorf("a batch of %d gave %d results", len(items), len(values))
	}
	if err != nil {
		return err
	}
	b.cost.add(len(items), took.Seconds())
	if b.Busy() {
		b.size.saw(len(items), took.Seconds())
	}
	for i, t := range tasks {
		t.result.Value, t.result.Took, t.result.Size = values[i], took, len(items)
	}
	return nil
}
