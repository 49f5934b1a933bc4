// Package batch runs items that arrive one at a time in batches: what waits when a
// worker becomes free goes together, and nothing waits for company.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Func computes a result for each item, in order. It is called by several workers
// at once, each with items of its own, and stops when ctx ends.
type Func[T, R any] func(ctx context.Context, items []T) ([]R, error)

// Config says how batches are formed.
type Config struct {
	Workers  int           // batches under way at once, unless they are very short
	Max      int           // items of a batch at the most, which is also the size at the beginning without Learnt
	Queue    int           // items that may wait or run
	Limit    time.Duration // of one call of the Func; 0 for none
	Sizes    []int         // at which batches can be run, ascending up to Max: others take the time of the next; none for any size
	Panicked func()        // told of each call of the Func that panicked; nil for nobody
	Learnt   []Point       // what Best saw: the size to begin with, and the first guess of how long batches take
}

// Result is the outcome of one item, and what its way through the batcher was.
type Result[R any] struct {
	Value  R
	Err    error         // of this item alone
	Waited time.Duration // in the queue
	Took   time.Duration // the call of the Func that it was in
	Size   int           // items of that call
}

// ErrClosed is the error of items that come after Close.
var ErrClosed = errors.New("the batcher is closed")

// Batcher forms batches. Do may be called from any number of goroutines.
type Batcher[T, R any] struct {
	run    Func[T, R]
	config Config
	queue  chan *task[T, R] // room for every item taken on: sending never blocks
	taken  atomic.Int64     // items waiting or running
	cost   cost
	size   *sizer
	cut    func(n int) int
	turn   chan struct{}   // filled by the worker that forms a batch
	ended  chan struct{}   // closed when all workers have
	base   context.Context // of every call of run
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

// Do is Admit and Run.
func (b *Batcher[T, R]) Do(ctx context.Context, items ...T) ([]Result[R], error) {
	if err := b.Admit(ctx, len(items), 0); err != nil {
		return nil, err
	}
	return b.Run(ctx, items...)
}

// Run runs admitted items, perhaps in batches with those of others, and returns a
// result for each, in order, or ErrClosed. When ctx ends, items that do not run yet
// are dropped, with its error as theirs.
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

// Always is Do of one item that is taken on however full the queue is. There is
// room for one such item at a time.
func (b *Batcher[T, R]) Always(ctx context.Context, item T) (r Result[R], err error) {
	b.taken.Add(1)
	results, err := b.Run(ctx, item)
	if err != nil {
		return r, err
	}
	return results[0], nil
}

// Waiting is the number of items taken on and not done.
func (b *Batcher[T, R]) Waiting() int { return int(b.taken.Load()) }

// Busy tells whether there are items for more than half of the workers.
func (b *Batcher[T, R]) Busy() bool { return 2*b.Waiting() > b.config.Workers }

// Close takes no more items on, and waits until those it has are done. When ctx
// ends first, what runs is told to stop and what waits fails. In either case no
// call of the Func is under way when Close returns. It may be called again.
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

// Cut says how many of n items, 1 or more and no more than Max, to run at once so that
// all are done soonest. Where batches of any size can be run it is a power of two: few
// shapes keep a runtime's memory small, and 4 and then 1 are done sooner than 5 padded
// to 8.
func (b *Batcher[T, R]) Cut(n int) int { return b.cut(n) }

// Size is the number of items that a batch has at the most at present.
func (b *Batcher[T, R]) Size() int { return b.size.now() }
