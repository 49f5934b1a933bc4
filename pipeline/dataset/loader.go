package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vicreg/models/tensor"
	"vicreg/pipeline/imaging"
)

// LoaderConfig says which batches a Loader makes.
type LoaderConfig struct {
	Recipe imaging.Recipe
	Batch  int // N; the remainder of an epoch that fills no batch is dropped
	Size   int // S, the side of a view in pixels
	Seed   uint64

	// Epoch and Start are the position of the first batch, the index of a batch
	// within its epoch counted from 0; Epochs is where the run ends.
	Epoch, Start, Epochs int

	Workers  int // goroutines that decode and augment; 0 means one a processor
	Prefetch int // batches made ahead of the one in use; 0 means 2
}

// Validate reports what makes c impossible with n pictures.
func (c *LoaderConfig) Validate(n int) error {
	switch {
	case c.Batch < 1:
		return fmt.Errorf("batch of %d pictures", c.Batch)
	case c.Size < 1:
		return fmt.Errorf("view of %d pixels", c.Size)
	case c.Batch > n:
		return fmt.Errorf("batch of %d is larger than the set of %d pictures", c.Batch, n)
	case c.Epoch < 0 || c.Start < 0 || c.Start > n/c.Batch:
		return fmt.Errorf("no batch %d in epoch %d, an epoch has %d", c.Start, c.Epoch, n/c.Batch)
	}
	return c.Recipe.Validate()
}

// Batch is one step's pictures.
type Batch struct {
	Epoch, Index int
	// Tensors holds "view1" and "view2", both uint8 [N,S,S,3]. The user may add
	// entries of its own, which stay when the batch is used again.
	Tensors tensor.Batch

	rows []int        // indices in the set
	left atomic.Int64 // rows not yet done
	done chan error   // receives once, nil when every row is in place
}

// Loader makes the batches of a run ahead of their use. Next, Release and Close
// belong to one goroutine; the other methods may be called from anywhere.
//
// A row whose file is bad shows the substitute's pixels (Reader.Substitute) under
// the augmentation drawn for its own key, so that no two rows of a batch become
// equal. Close must be called, and ends every goroutine before it returns.
type Loader struct {
	reader *Reader
	config LoaderConfig
	cancel context.CancelFunc
	ctx    context.Context
	group  *errgroup.Group

	order  chan *Batch // as they will be returned
	free   chan *Batch // released, to be filled again
	rows   chan task
	waited atomic.Int64
	told   bool // Next has returned what ended the loader
}

// task is one row of a batch.
type task struct {
	batch *Batch
	row   int
}

// NewLoader starts the workers. They stop when ctx is done, at the first error or
// with Close.
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
	l.ctx, l.cancel = context.WithCancel(ctx)
	l.group, l.ctx = errgroup.WithContext(l.ctx)
	buffers := config.Prefetch + 1
	l.order, l.free = make(chan *Batch, buffers), make(chan *Batch, buffers)
	l.rows = make(chan task, config.Workers)
	for range buffers {
		l.free <- l.newBatch()
	}
	l.group.Go(l.plan)
	for range config.Workers {
		l.group.Go(l.work)
	}
	return l, nil
}

func (l *Loader) newBatch() *Batch {
	n, s := l.config.Batch, l.config.Size
	return &Batch{
		Tensors: tensor.Batch{"view1": tensor.New(tensor.Uint8, n, s, s, 3), "view2": tensor.New(tensor.Uint8, n, s, s, 3)},
		rows:    make([]int, n),
		done:    make(chan error, 1),
	}
}

// BatchesPerEpoch is the number of full batches in the set.
func (l *Loader) BatchesPerEpoch() int { return l.reader.set.Len() / l.config.Batch }

// plan hands out the rows of every batch, in order.
func (l *Loader) plan() error {
	defer close(l.order)
	defer close(l.rows)
	start := l.config.Start
	var order []uint32
	for epoch := l.config.Epoch; epoch < l.config.Epochs; epoch++ {
		order = shuffle(order, l.reader.set.Len(), l.config.Seed, epoch)
		for index := start; index < l.BatchesPerEpoch(); index++ {
			if err := l.issue(epoch, index, order[index*l.config.Batch:]); err != nil {
				return err
			}
		}
		start = 0
	}
	return nil
}

// issue waits for a free batch and for workers to take its rows.
func (l *Loader) issue(epoch, index int, order []uint32) error {
	var b *Batch
	select {
	case b = <-l.free:
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
	b.Epoch, b.Index = epoch, index
	for row := range b.rows {
		b.rows[row] = int(order[row])
	}
	b.left.Store(int64(len(b.rows)))
	l.order <- b // has room for every batch there is
	for row := range b.rows {
		select {
		case l.rows <- task{b, row}:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
	return nil
}

// work makes rows until there are no more.
func (l *Loader) work() error {
	var s imaging.Scratch
	for t := range l.rows {
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		if err := l.fill(t, &s); err != nil {
			return err
		}
		if t.batch.left.Add(-1) == 0 {
			t.batch.done <- nil
		}
	}
	return nil
}

// fill makes both views of one row.
func (l *Loader) fill(t task, s *imaging.Scratch) error {
	i := t.batch.rows[t.row]
	m, err := l.reader.Substitute(i)
	if err != nil {
		return err
	}
	c := &l.config
	bytes := 3 * c.Size * c.Size
	for view, name := range [...]string{"view1", "view2"} {
		p := c.Recipe.Draw(c.Seed, t.batch.Epoch, l.reader.set.Key(i), view)
		dst := t.batch.Tensors[name].Data.([]uint8)[t.row*bytes:][:bytes]
		imaging.Apply(p, m, dst, c.Size, s)
	}
	return nil
}

// Next returns the next batch, which is the caller's until Release. At the end of
// the run it returns io.EOF, after a cancellation the context's error.
func (l *Loader) Next() (*Batch, error) {
	begin := time.Now()
	defer func() { l.waited.Add(int64(time.Since(begin))) }()
	b, more := l.pending()
	switch {
	case l.ctx.Err() != nil:
		return nil, l.failure()
	case !more:
		return nil, io.EOF
	}
	select {
	case <-b.done:
		return b, nil
	case <-l.ctx.Done():
		return nil, l.failure()
	}
}

// pending returns the batch whose turn it is, perhaps not finished; more is false
// at the end of the run.
func (l *Loader) pending() (b *Batch, more bool) {
	select {
	case b, more = <-l.order:
	case <-l.ctx.Done():
	}
	return b, more
}

// failure waits for the workers, which have been told to stop, and returns what
// stopped them.
func (l *Loader) failure() error {
	l.told = true
	if err := l.group.Wait(); err != nil {
		return err
	}
	return l.ctx.Err()
}

// Release gives a batch back to be filled again. A loader of which nothing is
// released stops after Prefetch+1 batches.
func (l *Loader) Release(b *Batch) { l.free <- b }

// Waited is the time Next has spent waiting, in all.
func (l *Loader) Waited() time.Duration { return time.Duration(l.waited.Load()) }

// Close stops the workers and waits for them. It returns the error that ended the
// loader early, if one did, other than a cancellation and what Next has returned.
func (l *Loader) Close() error {
	l.cancel()
	if err := l.group.Wait(); err != nil && !l.told && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
