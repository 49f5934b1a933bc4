package index

import (
	"context"
	"slices"
	"sync"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// call is a write requested by one caller.
type call struct {
	namespace string
	changes   []store.Change
	rows      []*row             // of the changes; nil for deletions
	read      []*filter.Metadata // parsed metadata of rows
	meta      []filter.Row       // the same, encoded for the columns
	were      []bool             // which ids existed before, set when done
	done      chan error

	to    *collection // this and what follows are for the writer only
	mark  int         // number of fields of to before the call
	coded int         // to.coded before the call
}

func newCall(namespace string, n int) *call {
	return &call{namespace: namespace, changes: make([]store.Change, n), rows: make([]*row, n), read: make([]*filter.Metadata, n),
		meta: make([]filter.Row, n), done: make(chan error, 1)}
}

// writer lets one goroutine at a time write: that of a single caller, which then waits for
// nobody, or one that writes all waiting calls together, so that many callers share the cost of a
// transaction.
type writer struct {
	state *state
	full  func()         // called when a segment is full
	ended sync.WaitGroup // the goroutine that writes waiting calls

	mu      sync.Mutex
	busy    bool    // a goroutine is writing
	waiting []*call // until it has finished

	changes int // since the last tune; for the goroutine that writes
}

// mostChanges is the number of changes at which a transaction is full: it ends with the call that
// reaches it.
const mostChanges = 4096

func newWriter(st *state, full func()) *writer { return &writer{state: st, full: full} }

// close waits until everything is written. No call may follow it.
func (w *writer) close() { w.ended.Wait() }

// do writes a call. If ctx ends first, the call may still be written.
func (w *writer) do(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	if w.busy {
		w.waiting = append(w.waiting, c)
		w.mu.Unlock()
		select {
		case err := <-c.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.busy = true
	w.mu.Unlock()
	defer w.pass()
	w.commit([]*call{c})
	return <-c.done
}

// pass starts another goroutine to write waiting calls, if there are any.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy = len(w.waiting) > 0; w.busy {
		w.ended.Go(w.run)
	}
}

// run writes until no call is waiting.
func (w *writer) run() {
	for group := w.take(); len(group) > 0; group = w.take() {
		w.commit(group)
	}
}

// take returns the calls for the next transaction. If none is waiting, the writer becomes free.
func (w *writer) take() (group []*call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for i, c := range w.waiting {
		if n += len(c.changes); n >= mostChanges || i == len(w.waiting)-1 {
			group = slices.Clone(w.waiting[:i+1])
			break
		}
	}
	w.waiting = slices.Delete(w.waiting, 0, len(group))
	w.busy = len(group) > 0
	return group
}
