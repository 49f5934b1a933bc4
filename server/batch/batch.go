// Package batch runs items that arrive one at a time in batches: what waits when a
// worker becomes free goes together, and nothing waits for company.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Run computes a result for each item, in order. It is called by several workers
// at once, each with items of its own, and stops when ctx ends.
type Run[T, R any] func(ctx context.Context, items []T) ([]R, error)

// Config says how batches are formed.
type Config struct {
	Workers int           // batches under way at once
	Max     int           // items of a batch at the most
	Queue   int           // items that may wait or run
	Limit   time.Duration // of one call of Run; 0 for none
}

// Result is the outcome of one item, and what its way through the batcher was.
type Result[R any] struct {
	Value  R
	Err    error         // of this item alone
	Waited time.Duration // in the queue
	Took   time.Duration // the call of Run that it was in
	Size   int           // items of that call
}

// Full is the error of items that were not taken on: the queue has no room for
// them, or they would not be done before the caller's deadline. After is when to
// try again.
type Full struct{ After time.Duration }

func (f *Full) Error() string {
	return fmt.Sprintf("too busy: try again in %v", f.After.Round(time.Millisecond))
}

// ErrClosed is the error of items that come after Close.
var ErrClosed = errors.New("the batcher is closed")

// Batcher forms batches. Do may be called from any number of goroutines.
type Batcher[T, R any] struct {
	run    Run[T, R]
	config Config
	queue  chan *task[T, R] // room for every item taken on: sending never blocks
	taken  atomic.Int64     // items waiting or running
	panics atomic.Int64
	cost   cost
	ended  chan struct{}   // closed when all workers have
	base   context.Context // of every call of Run
	abort  context.CancelFunc

	mu     sync.RWMutex // held to send, and to close the queue
	closed bool
}

// task is one item on its way.
type task[T, R any] struct {
	ctx    context.Context
	item   T
	since  time.Time
	result Result[R]
	done   *sync.WaitGroup
}

// New starts the workers. Close ends them.
func New[T, R any](run Run[T, R], c Config) *Batcher[T, R] {
	c.Workers, c.Max = max(c.Workers, 1), max(c.Max, 1)
	c.Queue = max(c.Queue, 1)
	b := &Batcher[T, R]{run: run, config: c, queue: make(chan *task[T, R], c.Queue+1), ended: make(chan struct{})}
	b.base, b.abort = context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for range c.Workers {
		workers.Go(b.work)
	}
	go func() {
		workers.Wait()
		close(b.ended)
	}()
	return b
}

// Do runs items, perhaps in batches with those of others, and returns a result for
// each, in order. All are taken on or none: then the error is *Full or ErrClosed.
// When ctx ends, items that do not run yet are dropped, with its error as theirs.
func (b *Batcher[T, R]) Do(ctx context.Context, items ...T) ([]Result[R], error) {
	if err := b.admit(ctx, len(items)); err != nil {
		return nil, err
	}
	return b.submit(ctx, items)
}

// Always is Do of one item that is taken on however full the queue is. There is
// room for one such item at a time.
func (b *Batcher[T, R]) Always(ctx context.Context, item T) (r Result[R], err error) {
	b.taken.Add(1)
	results, err := b.submit(ctx, []T{item})
	if err != nil {
		return r, err
	}
	return results[0], nil
}

// submit queues items that were taken on, and waits for them.
func (b *Batcher[T, R]) submit(ctx context.Context, items []T) ([]Result[R], error) {
	var done sync.WaitGroup
	done.Add(len(items))
	tasks := make([]*task[T, R], len(items))
	now := time.Now()
	b.mu.RLock()
	if b.closed {
		b.mu.RUnlock()
		b.taken.Add(-int64(len(items)))
		return nil, ErrClosed
	}
	for i, item := range items {
		tasks[i] = &task[T, R]{ctx: ctx, item: item, since: now, done: &done}
		b.queue <- tasks[i]
	}
	b.mu.RUnlock()
	done.Wait()
	results := make([]Result[R], len(items))
	for i, t := range tasks {
		results[i] = t.result
	}
	return results, nil
}

// admit takes n items on if there is room, and time before the deadline of ctx for
// those ahead and these. With nothing ahead there is nothing to wait for: they run.
func (b *Batcher[T, R]) admit(ctx context.Context, n int) error {
	ahead := int(b.taken.Add(int64(n))) - n
	wait := b.predict(ahead + n)
	deadline, limited := ctx.Deadline()
	late := wait - time.Until(deadline)
	switch {
	case ctx.Err() != nil:
		b.taken.Add(-int64(n))
		return ctx.Err()
	case ahead+n > b.config.Queue:
		b.taken.Add(-int64(n))
		return &Full{b.predict(ahead + n - b.config.Queue)}
	case limited && late > 0 && ahead > 0:
		b.taken.Add(-int64(n))
		return &Full{late}
	}
	return nil
}

// predict is how long n items take from now, by the time that batches took lately.
func (b *Batcher[T, R]) predict(n int) time.Duration {
	rounds := (n + b.config.Max*b.config.Workers - 1) / (b.config.Max * b.config.Workers)
	each := min(b.config.Max, (n+b.config.Workers-1)/b.config.Workers)
	return time.Duration(float64(rounds) * b.cost.of(each) * float64(time.Second))
}

// Waiting is the number of items taken on and not done.
func (b *Batcher[T, R]) Waiting() int { return int(b.taken.Load()) }

// Panics is the number of calls of Run that panicked.
func (b *Batcher[T, R]) Panics() int { return int(b.panics.Load()) }

// Close takes no more items on, and waits until those it has are done. When ctx
// ends first, what runs is told to stop and what waits fails. In either case no
// call of Run is under way when Close returns. It may be called again.
func (b *Batcher[T, R]) Close(ctx context.Context) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.queue)
	}
	b.mu.Unlock()
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
	}
	left := b.Waiting()
	b.abort()
	<-b.ended
	return fmt.Errorf("drain the batcher: %d items left: %w", left, ctx.Err())
}

// work runs batches until the queue is closed and empty.
func (b *Batcher[T, R]) work() {
	for first := range b.queue {
		tasks := []*task[T, R]{first}
	more:
		for len(tasks) < b.config.Max {
			select {
			case t, open := <-b.queue:
				if !open {
					break more
				}
				tasks = append(tasks, t)
			default:
				break more
			}
		}
		b.finish(tasks)
	}
}

// finish runs a batch, without the items whose callers have left. One that fails is
// tried item by item, so that a bad item fails alone.
func (b *Batcher[T, R]) finish(tasks []*task[T, R]) {
	live := tasks[:0:0]
	for _, t := range tasks {
		t.result.Waited = time.Since(t.since)
		if t.result.Err = t.ctx.Err(); t.result.Err == nil {
			live = append(live, t)
		}
	}
	if err := b.try(live); err != nil {
		// Out of time, the items one by one would only take longer.
		again := len(live) > 1 && !errors.Is(err, context.DeadlineExceeded)
		for _, t := range live {
			if again && t.ctx.Err() == nil && b.base.Err() == nil {
				err = b.try([]*task[T, R]{t})
			}
			t.result.Err = err
		}
	}
	b.taken.Add(-int64(len(tasks)))
	for _, t := range tasks {
		t.done.Done()
	}
}

// try runs the items once, under the limit of a batch and no caller's.
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
			b.panics.Add(1)
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
	for i, t := range tasks {
		t.result.Value, t.result.Took, t.result.Size = values[i], took, len(items)
	}
	return nil
}
