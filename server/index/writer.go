package index

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// Upsert is Index's. Calls that come while others are written are written together.
// What items point to must not be changed before the call is done, and never when ctx
// ended it.
func (f *File) Upsert(ctx context.Context, namespace string, items ...Item) (created []bool, err error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := CheckID(namespace); err != nil {
		return nil, fmt.Errorf("the namespace %w", err)
	}
	c := newCall(strings.Clone(namespace), len(items)) // what is kept must not hold on to a request
	if err := c.fill(st, items); err != nil {
		return nil, err
	}
	if err := f.write(ctx, c); err != nil {
		return nil, err // c may be the writer's still
	}
	for i, was := range c.were {
		c.were[i] = !was
	}
	return c.were, nil
}

// fill prepares items for the writer, many of them on all cores.
func (c *call) fill(st *state, items []Item) error {
	const chunk = 64
	if len(items) <= chunk {
		return c.fillFrom(st, items, 0)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < len(items); first += chunk {
		group.Go(func() error { return c.fillFrom(st, items[first:min(first+chunk, len(items))], first) })
	}
	return group.Wait()
}

// fillFrom prepares items, of which the first has this place in the call.
func (c *call) fillFrom(st *state, items []Item, first int) error {
	for k, item := range items {
		unit, meta, err := st.check(item)
		if err != nil {
			return &ItemError{first + k, err}
		}
		r := newRow(unit)
		c.rows[first+k], c.read[first+k] = &r, meta
		c.changes[first+k].Row = store.Row{Namespace: c.namespace, ID: strings.Clone(item.ID), Vector: item.Vector, Metadata: metadata(item.Metadata),
			Source: item.Source, Hash: item.Hash, Thumbnail: item.Thumbnail}
	}
	return nil
}

// Delete is Index's.
func (f *File) Delete(ctx context.Context, namespace string, ids ...string) (gone []bool, err error) {
	_, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	c := newCall(namespace, len(ids))
	for i, id := range ids {
		c.changes[i] = store.Change{Row: store.Row{Namespace: namespace, ID: id}, Delete: true}
	}
	if err := f.write(ctx, c); err != nil {
		return nil, err // c may be the writer's still
	}
	return c.were, nil
}

// metadata is what is stored for an item's.
func metadata(given []byte) []byte {
	if len(given) == 0 {
		return []byte("{}")
	}
	return given
}

func (f *File) write(ctx context.Context, c *call) error {
	if f.writer == nil {
		return fmt.Errorf("%s is open to be read only", f.path)
	}
	if len(c.changes) == 0 {
		return nil
	}
	return f.writer.do(ctx, c)
}

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
	ended sync.WaitGroup // of the goroutine for those that wait

	mu      sync.Mutex
	busy    bool    // somebody writes
	waiting []*call // for that one to end

	changes int // since the memory was looked at, for whoever writes
}

// A transaction ends with the call that brings it over so many changes.
const mostChanges = 4096

func newWriter(st *state) *writer { return &writer{state: st} }

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

// commit writes the calls of a group: together, or where that fails each by itself, so
// that one fails alone.
func (w *writer) commit(group []*call) {
	err := w.apply(group)
	if err == nil || len(group) == 1 {
		for _, c := range group {
			c.done <- err
		}
	} else {
		for _, c := range group {
			c.done <- w.apply([]*call{c})
		}
	}
	for _, c := range group {
		w.state.collection(c.namespace).forget()
		w.changes += len(c.changes)
	}
	if w.changes >= tuneEvery {
		w.changes = 0
		tune(w.state.bytes())
	}
}

// tuneEvery is after how many changes the memory is looked at.
const tuneEvery = 1 << 14

// apply writes calls in one transaction, and then shows them to searches.
func (w *writer) apply(group []*call) error {
	for _, c := range group {
		c.to = w.state.collection(c.namespace)
		if c.stores() {
			c.to = w.state.make(c.namespace)
		}
	}
	if err := w.write(group); err != nil {
		w.leave(group)
		return err
	}
	shown, were := map[*collection][]change{}, map[*collection][]bool{}
	for _, c := range group {
		for i := range c.changes {
			shown[c.to] = append(shown[c.to], change{c.changes[i].ID, c.changes[i].Key, c.rows[i], c.meta[i]})
		}
	}
	for to, changes := range shown {
		were[to] = to.apply(changes)
		to.draw()
	}
	for _, c := range group {
		c.were, were[c.to] = were[c.to][:len(c.changes)], were[c.to][len(c.changes):]
	}
	w.leave(group)
	return nil
}

// leave ends namespaces that have no items.
func (w *writer) leave(group []*call) {
	for _, c := range group {
		if w.state.collection(c.namespace).snapshot().items == 0 {
			w.state.end(c.namespace)
		}
	}
}

// write puts all calls on the disk, and sets the keys of their changes.
func (w *writer) write(group []*call) error {
	err := encode(group)
	if errors.Is(err, filter.ErrFields) { // some may be those of metadata that is gone
		for _, c := range group {
			if c.to.coded > len(c.to.places) {
				c.to.renew()
			}
		}
		err = encode(group)
	}
	if err != nil {
		return err
	}
	var all []store.Change
	for _, c := range group {
		all = append(all, c.changes...)
	}
	if err := w.state.db.Apply(context.Background(), all); err != nil {
		uncode(group)
		return err
	}
	for _, c := range group {
		copy(c.changes, all)
		all = all[len(c.changes):]
	}
	return nil
}

// encode prepares the metadata of calls for filters. After an error no field is left of
// those that only they have.
func encode(group []*call) (err error) {
	for _, c := range group {
		c.mark, c.coded = c.to.fields.Mark(), c.to.coded
	}
	for _, c := range group {
		for i, m := range c.read {
			if m == nil {
				continue
			}
			if c.meta[i], err = c.to.fields.Add(m); err != nil {
				uncode(group)
				return &ItemError{i, err}
			}
			c.to.coded++
		}
	}
	return nil
}

// uncode takes back what encode did.
func uncode(group []*call) {
	for _, c := range slices.Backward(group) {
		c.to.fields.Reset(c.mark)
		c.to.coded = c.coded
	}
}

// stores tells whether a call does more than delete.
func (c *call) stores() bool {
	return slices.ContainsFunc(c.rows, func(r *row) bool { return r != nil })
}
