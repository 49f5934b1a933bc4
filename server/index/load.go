package index

import (
	"context"

	"golang.org/x/sync/errgroup"

	"vicreg/server/index/store"
)

// loading reads the rows of a database into memory in three concurrent stages: one goroutine
// reads, others prepare the vectors for search, batch by batch, and one adds the rows to their
// collections, in the order in which they were read.
type loading struct {
	st       *state
	free     chan *batch // to be filled
	read     chan *batch // in order; each batch signals when it has been prepared
	progress func(done, total int)
}

// batch is a number of rows in the pipeline. Its memory is reused.
type batch struct {
	rows  []loaded // up to its capacity
	ready chan struct{}
}

// loaded is a row of the database, in separate memory, and its form for search.
type loaded struct {
	store.Row
	row row
	bad *Damage // why it is left out, nil for a sound row
}

const (
	batchNumbers = 1 << 18 // numbers in the vectors of a batch
	leastBatch   = 16      // rows
	mostBatch    = 1024
)

// progressEvery is the number of items loaded between two calls of Options.Progress.
const progressEvery = 1 << 14

// load reads the whole database, with threads+2 batches in flight.
func (st *state) load(ctx context.Context, threads int, progress func(done, total int)) error {
	total, err := st.db.Rows(ctx)
	if err != nil {
		return err
	}
	l := &loading{st: st, free: make(chan *batch, threads+2), read: make(chan *batch, threads+2), progress: progress}
	rows := min(max(batchNumbers/st.binding.Dim, leastBatch), mostBatch)
	for range cap(l.free) {
		l.free <- &batch{rows: make([]loaded, 0, rows), ready: make(chan struct{}, 1)}
	}
	group, ctx := errgroup.WithContext(ctx)
	var bad []Damage // rows that cannot even be read
	group.Go(func() (err error) {
		bad, err = l.fill(ctx, group)
		return err
	})
	group.Go(func() error { l.place(total); return nil })
	if err := group.Wait(); err != nil {
		return err
	}
	st.damage.add(bad...)
	for _, c := range st.names {
		if st.bare {
			c.publish()
		} else {
			c.finish()
		}
	}
	return nil
}

// fill reads rows into batches, which goroutines of group prepare, and returns the damaged ones.
func (l *loading) fill(ctx context.Context, group *errgroup.Group) ([]Damage, error) {
	defer close(l.read)
	var b *batch
	send := func() {
		full := b
		b = nil
		l.read <- full // has room for all batches
		group.Go(func() error { full.prepare(l.st); full.ready <- struct{}{}; return nil })
	}
	bad, err := l.st.db.Load(ctx, func(r *store.Row) error {
		if b == nil {
			if b = l.next(ctx); b == nil {
				return ctx.Err()
			}
		}
		if b.keep(r); len(b.rows) == cap(b.rows) {
			send()
		}
		return nil
	})
	if err == nil && b != nil {
		send()
	}
	return bad, err
}

// next waits for a free batch; it returns nil if ctx has ended.
func (l *loading) next(ctx context.Context) *batch {
	select {
	case b := <-l.free:
		if ctx.Err() == nil {
			return b
		}
	case <-ctx.Done():
	}
	return nil
}

// keep copies a row, except for its strings, into memory that an earlier row used.
func (b *batch) keep(r *store.Row) {
	b.rows = b.rows[:len(b.rows)+1]
	to := &b.rows[len(b.rows)-1]
	vector, metadata := append(to.Vector[:0], r.Vector...), append(to.Metadata[:0], r.Metadata...)
	to.Row, to.bad = *r, nil
	to.Vector, to.Metadata = vector, metadata
}

// prepare prepares the vectors for search, unless st keeps none.
func (b *batch) prepare(st *state) {
	for i := range b.rows {
		r := &b.rows[i]
		if err := st.binding.unitOf(r.Vector, r.Vector); err != nil {
			r.bad = faulty(&r.Row, err)
		} else if !st.bare {
			r.row.become(r.Vector)
		}
	}
}

// place adds the rows of the batches to their collections.
func (l *loading) place(total int) {
	done := 0
	for b := range l.read {
		<-b.ready
		for i := range b.rows {
			l.st.take(&b.rows[i])
		}
		before := done
		if done += len(b.rows); l.progress != nil && done/progressEvery > before/progressEvery {
			l.progress(done, total)
		}
		b.rows = b.rows[:0]
		l.free <- b
	}
}

// take adds a row to its collection, unless it is damaged.
func (st *state) take(r *loaded) {
	if r.bad != nil {
		st.damage.add(*r.bad)
		return
	}
	c := st.make(r.Namespace)
	meta, err := c.fields.Encode(r.Metadata)
	if err != nil {
		st.damage.add(*faulty(&r.Row, err))
		return
	}
	c.places[r.ID] = c.add(r.Key, r.ID, r.row, meta)
}
