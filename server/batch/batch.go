// Package batch groups items that arrive one at a time into batches: when a worker becomes free it
// takes everything that is waiting, and no item is held back to fill a batch.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Func computes a result for each item, in order. Several workers call it concurrently, each with
// different items; it stops when ctx ends.
type Func[T, R any] func(ctx context.Context, items []T) ([]R, error)

// Config says how batches are formed.
type Config struct {
	Workers  int           // maximum concurrent batches; one at a time when batches are very short
	Max      int           // maximum items per batch, and the initial size when Learnt is empty
	Queue    int           // maximum items waiting or running
	Limit    time.Duration // timeout of one call of the Func; 0 for none
	Sizes    []int         // batch sizes that can be run, ascending up to Max: other sizes cost as much as the next larger one; nil means any size
	Panicked func()        // called after each panic in the Func; may be nil
	Learnt   []Point       // measurements by Best: they set the initial batch size and the first estimate of how long batches take
}

// Result is the outcome of one item, with its timings.
type Result[R any] struct {
	Value  R
	Err    error         // of this item alone
	Waited time.Duration // in the queue
	Took   time.Duration // duration of the call of the Func that processed it
	Size   int           // number of items in that call
}

// ErrClosed is the error of items submitted after Close.
var ErrClosed = errors.New("the batcher is closed")

// Batcher forms batches. Do may be called from any number of goroutines.
type Batcher[T, R any] struct {
	run    Func[T, R]
	config Config
	queue  chan *task[T, R] // has room for every admitted item, so sends never block
	taken  atomic.Int64     // items waiting or running
	cost   cost
	size   *sizer
	cut    func(n int) int
	turn   chan struct{}   // held (non-empty) by the worker that is forming a batch
	ended  chan struct{}   // closed once all workers have exited
	base   context.Context // parent context of every call of run
	abort  context.CancelFunc

	mu     sync.RWMutex // read-locked to send on the queue, locked to close it
	closed bool
}

// task is one item in the batcher.
type task[T, R any] struct {
	ctx    context.Context
	item   T
	since  time.Time
	result Result[R]
	done   *sync.WaitGroup
}

// New creates a Batcher and starts its workers. Close stops them.
func New[T, R any](run Func[T, R], c Config) *Batcher[T, R] {
	c.Workers, c.Max = max(c.Workers, 1), max(c.Max, 1)
	c.Queue = max(c.Queue, 1)
	sizes, cut := c.Sizes, Floor2
	if sizes == nil {
		sizes = Powers(c.Max)
	} else {
		cut = newCutter(sizes, c.Learnt).cut
	}
	b := &Batcher[T, R]{run: run, config: c, queue: make(chan *task[T, R], c.Queue+1), turn: make(chan struct{}, 1), ended: make(chan struct{}),
		size: newSizer(sizes, c.Learnt), cut: cut}
	for _, p := range c.Learnt {
		b.cost.add(p.Size, float64(p.Size)/p.PerSecond)
	}
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

// Do is Admit followed by Run.
func (b *Batcher[T, R]) Do(ctx context.Context, items ...T) ([]Result[R], error) {
	if err := b.Admit(ctx, len(items), 0); err != nil {
		return nil, err
	}
	return b.Run(ctx, items...)
}

// Run runs admitted items, possibly in batches with other callers' items, and returns a result for
// each, in order, or ErrClosed. Items that have not started when ctx ends are dropped, with ctx's
// error in their results.
func (b *Batcher[T, R]) Run(ctx context.Context, items ...T) ([]Result[R], error) {
	var done sync.WaitGroup
	done.Add(len(items))
	tasks := make([]*task[T, R], len(items))
	now := time.Now()
	b.mu.RLock()
	if b.closed {
		b.mu.RUnlock()
		b.Leave(len(items))
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

// Always is Do for one item that is admitted however full the queue is. Only one such call may be
// in flight at a time.
func (b *Batcher[T, R]) Always(ctx context.Context, item T) (r Result[R], err error) {
	b.taken.Add(1)
	results, err := b.Run(ctx, item)
	if err != nil {
		return r, err
	}
	return results[0], nil
}

// Waiting is the number of items admitted but not finished.
func (b *Batcher[T, R]) Waiting() int { return int(b.taken.Load()) }

// Busy reports whether there are items for more than half of the workers.
func (b *Batcher[T, R]) Busy() bool { return 2*b.Waiting() > b.config.Workers }

// Close stops accepting items and waits until the admitted ones are done. If ctx ends first,
// running batches are cancelled and waiting items fail. Either way no call of the Func is in
// progress when Close returns. Close may be called more than once.
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
	if left == 0 { // nothing was cut off
		return nil
	}
	return fmt.Errorf("drain the batcher: %d items left: %w", left, ctx.Err())
}

// Cut returns how many of n items (1 to Max) to run in the next batch so that all n finish soonest.
// If any batch size can be run, it is a power of two: few distinct shapes keep the runtime's memory
// small, and running 4 and then 1 is faster than padding 5 to 8.
func (b *Batcher[T, R]) Cut(n int) int { return b.cut(n) }

// Size is the current maximum batch size.
func (b *Batcher[T, R]) Size() int { return b.size.now() }
