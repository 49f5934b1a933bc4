package index

import (
	"context"
	"slices"
	"sync"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// call is what one caller wants to have written.
type call struct {
	namespace string
	changes   []store.Change
	rows      []*row             // of the changes that store something
	read      []*filter.Metadata // of these
	meta      []filter.Row       // the same as the columns have it
	were      []bool             // which ids were there, when it is done
	done      chan error

	to    *collection // the writer's, as what follows
	mark  int         // fields of to before the call
	coded int         // rows of to that were coded before it
}

func newCall(namespace string, n int) *call {
	return &call{namespace: namespace, changes: make([]store.Change, n), rows: make([]*row, n), read: make([]*filter.Metadata, n),
		meta: make([]filter.Row, n), done: make(chan error, 1)}
}

// writer has one goroutine at a time write: that of the only caller, which then waits
// for nobody, or one that writes what waits, all together: many callers share the cost
// of a transaction.
type writer struct {
	state *state
	full  func()         // told when a segment is
	ended sync.WaitGroup // of the goroutine for those that wait

	mu      sync.Mutex
	busy    bool    // somebody writes
	waiting []*call // for that one to end

	changes int // since the memory was looked at, for whoever writes
}

// A transaction ends with the call that brings it over so many changes.
const mostChanges = 4096

func newWriter(st *state, full func()) *writer { return &writer{state: st, full: full} }

// close waits until all is written. No call may come after it.
func (w *writer) close() { w.ended.Wait() }

// do has a call written. When ctx ends first the call may still be.
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

// pass lets another goroutine write for those that wait.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy = len(w.waiting) > 0; w.busy {
		w.ended.Go(w.run)
	}
}

// run writes until nobody waits.
func (w *writer) run() {
	for group := w.take(); len(group) > 0; group = w.take() {
		w.commit(group)
	}
}

// take is what goes into the next transaction. When nobody waits the writer is free.
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
