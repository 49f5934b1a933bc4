package dataset

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"vicreg/models/tensor"
	"vicreg/pipeline/imaging"
)

// LoaderConfig describes the batches of a Loader.
type LoaderConfig struct {
	Recipe imaging.Recipe
	Batch  int // N; a partial last batch of an epoch is dropped
	// When several processes share each batch, this one makes part Rank (from 0) of Ranks equal
	// parts. 0 Ranks means 1.
	Rank, Ranks int
	Size        int // S, the side of a view in pixels
	Seed        uint64

	// Epoch and Start are the position of the first batch (Start its index within the epoch, from
	// 0); the run ends before epoch Epochs.
	Epoch, Start, Epochs int

	Workers  int // goroutines that decode and augment; 0 means one per processor
	Prefetch int // batches prepared ahead of the one in use; 0 means 2

	// Alloc returns the tensors of a batch, at least view1 and view2, in memory of the caller's
	// choice that stays valid until the loader is closed; nil means newly allocated ones. NewLoader
	// calls it Prefetch+1 times.
	Alloc func() (tensor.Batch, error)
}

// Validate reports why c cannot work with n images.
func (c *LoaderConfig) Validate(n int) error {
	switch {
	case c.Batch < 1:
		return fmt.Errorf("batch of %d pictures", c.Batch)
	case c.Ranks > 1 && (c.Rank < 0 || c.Rank >= c.Ranks || c.Batch%c.Ranks != 0):
		return fmt.Errorf("part %d of %d of a batch of %d pictures", c.Rank, c.Ranks, c.Batch)
	case c.Size < 1:
		return fmt.Errorf("view of %d pixels", c.Size)
	case c.Batch > n:
		return fmt.Errorf("batch of %d is larger than the set of %d pictures", c.Batch, n)
	case c.Epoch < 0 || c.Start < 0 || c.Start > n/c.Batch:
		return fmt.Errorf("no batch %d in epoch %d, an epoch has %d", c.Start, c.Epoch, n/c.Batch)
	}
	return c.Recipe.Validate()
}

// Loader prepares the batches of a run ahead of their use. Next, Peek, Release and Close belong to
// one goroutine; the other methods may be called from anywhere.
//
// A row whose file is bad gets the substitute's pixels (Reader.Substitute) under the augmentation
// drawn for its own key, so that no two rows of a batch are equal. An error is returned in place of
// the batch it belongs to, and so is the end of a run with too many bad files: the run ends at the
// same batch whatever the number of workers. Close must be called; it returns once every goroutine
// has ended.
type Loader struct {
	reader  *Reader
	config  LoaderConfig
	cancel  context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup

	order  chan *Batch // in the order of return
	first  *Batch      // received from order by Peek; nil for none
	free   chan *Batch // released, ready for reuse
	rows   chan task
	waited atomic.Int64
	tally  tally // of this epoch in this process
	err    error // what ended the loader, once Next has returned it
}

// part is the number of rows of a batch that this process makes.
func (c *LoaderConfig) part() int { return c.Batch / max(1, c.Ranks) }

// task is one row of a batch.
type task struct {
	batch *Batch
	row   int
}

// NewLoader starts the workers. They stop when ctx is done or on Close.
func NewLoader(ctx context.Context, reader *Reader, config LoaderConfig) (*Loader, error) {
	if err := config.Validate(reader.set.Len()); err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	if config.Workers < 1 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	if config.Prefetch < 1 {
		config.Prefetch = 2
	}
	l := &Loader{reader: reader, config: config}
	buffers := config.Prefetch + 1
	l.order, l.free = make(chan *Batch, buffers), make(chan *Batch, buffers)
	l.rows = make(chan task, config.Workers)
	for range buffers {
		b, err := config.newBatch()
		if err != nil {
			return nil, fmt.Errorf("load images: %w", err)
		}
		l.free <- b
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.running.Go(l.plan)
	for range config.Workers {
		l.running.Go(l.work)
	}
	return l, nil
}

// BatchesPerEpoch is the number of full batches in the set.
func (l *Loader) BatchesPerEpoch() int { return l.reader.set.Len() / l.config.Batch }

// plan issues the rows of every batch in order.
func (l *Loader) plan() {
	defer close(l.order)
	defer close(l.rows)
	start := l.config.Start
	var order []uint32
	for epoch := l.config.Epoch; epoch < l.config.Epochs; epoch++ {
		order = shuffle(order, l.reader.set.Len(), l.config.Seed, epoch)
		for index := start; index < l.BatchesPerEpoch(); index++ {
			if !l.issue(epoch, index, order[index*l.config.Batch+l.config.Rank*l.config.part():]) {
				return
			}
		}
		start = 0
	}
}

// issue waits for a free batch and for workers to accept its rows, the first of order. It returns
// false once the loader has been stopped.
func (l *Loader) issue(epoch, index int, order []uint32) bool {
	var b *Batch
	select {
	case b = <-l.free:
	case <-l.ctx.Done():
		return false
	}
	b.Epoch, b.Index, b.err = epoch, index, nil
	for row := range b.rows {
		b.rows[row] = int(order[row])
	}
	b.left.Store(int64(len(b.rows)))
	l.order <- b // has capacity for every batch
	for row := range b.rows {
		select {
		case l.rows <- task{b, row}:
		case <-l.ctx.Done():
			return false
		}
	}
	return true
}

// work makes rows until the channel is closed.
func (l *Loader) work() {
	var d desk
	defer d.decoder.Close()
	for t := range l.rows {
		if l.ctx.Err() != nil {
			return
		}
		if err := l.fill(t, &d); err != nil {
			t.batch.fail(t.row, err)
		}
		if t.batch.left.Add(-1) == 0 {
			t.batch.done <- struct{}{}
		}
	}
}

// fill makes both views of one row.
func (l *Loader) fill(t task, d *desk) error {
	i := t.batch.rows[t.row]
	m, lost, err := l.reader.substitute(i, d)
	t.batch.lost[t.row] = lost
	if err != nil {
		return err
	}
	c := &l.config
	bytes := 3 * c.Size * c.Size
	for view := range views {
		p := c.Recipe.Draw(c.Seed, t.batch.Epoch, l.reader.set.Key(i), view)
		imaging.Apply(p, m, t.batch.views[view][t.row*bytes:][:bytes], c.Size, &d.scratch)
	}
	return nil
}

// Next returns the next batch, which belongs to the caller until Release. It returns io.EOF at the
// end of the run and the context's error after a cancellation. Errors are sticky.
func (l *Loader) Next() (*Batch, error) {
	begin := time.Now()
	defer func() { l.waited.Add(int64(time.Since(begin))) }()
	if l.err != nil {
		return nil, l.err
	}
	b, err := l.next()
	if err == nil {
		err = l.judge(b)
	}
	if err != nil {
		l.err = err
		l.cancel()
		return nil, err
	}
	return b, nil
}

// Peek returns the tensors of the next batch if they are complete by now, else nil. It does not
// wait. The tensors are read-only.
func (l *Loader) Peek() tensor.Batch {
	if l.first == nil {
		select {
		case l.first = <-l.order: // nil at the end
		default:
		}
	}
	if l.first == nil || !l.first.complete() {
		return nil
	}
	return l.first.Tensors
}

// next waits for the next batch in order.
func (l *Loader) next() (b *Batch, err error) {
	more := true
	if b, l.first = l.first, nil; b == nil {
		select {
		case b, more = <-l.order:
		case <-l.ctx.Done():
		}
	}
	if l.ctx.Err() != nil {
		return nil, l.ctx.Err()
	}
	if !more {
		return nil, io.EOF
	}
	select {
	case <-b.done:
		return b, nil
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}

// judge returns the error of a batch, or one that says that too many files have been bad.
func (l *Loader) judge(b *Batch) error {
	if b.err != nil {
		return b.err
	}
	if b.Index == 0 {
		l.tally = tally{}
	}
	last := -1
	for row, lost := range b.lost {
		if lost {
			l.tally.bad++
			last = b.rows[row]
		}
	}
	l.tally.seen += len(b.rows)
	if last >= 0 && l.tally.over(l.reader.config.MaxBad, l.reader.set.Len()/max(1, l.config.Ranks)) {
		return l.reader.tooMany(l.tally.bad, l.tally.seen, last)
	}
	return nil
}

// Release returns a batch for reuse. If none is released, the loader stops after Prefetch+1
// batches.
func (l *Loader) Release(b *Batch) { l.free <- b }

// Waited returns the total time that Next has spent waiting.
func (l *Loader) Waited() time.Duration { return time.Duration(l.waited.Load()) }

// Close stops the workers and waits for them.
func (l *Loader) Close() {
	l.cancel()
	l.running.Wait()
}
