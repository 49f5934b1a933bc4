package index

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"vicreg/server/index/store"
)

// Upsert implements Index. Calls that arrive while others are being written are written together.
// What items point to must not be modified until the call returns, and never if ctx ended it.
func (f *File) Upsert(ctx context.Context, namespace string, items ...Item) (created []bool, err error) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := CheckID(namespace); err != nil {
		return nil, fmt.Errorf("the namespace %w", err)
	}
	c := newCall(strings.Clone(namespace), len(items)) // must not keep a request's memory alive
	if err := c.fill(st, items); err != nil {
		return nil, err
	}
	if err := f.write(ctx, c); err != nil {
		return nil, err // the writer may still be using c
	}
	for i, was := range c.were {
		c.were[i] = !was
	}
	return c.were, nil
}

// fill prepares items for the writer, on all cores if there are many.
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

// fillFrom prepares items, of which the first has index first in the call.
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

// Delete implements Index.
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
		return nil, err // the writer may still be using c
	}
	return c.were, nil
}

// metadata returns what is stored for an item's metadata.
func metadata(given []byte) []byte {
	if len(given) == 0 {
		return []byte("{}")
	}
	return given
}

func (f *File) write(ctx context.Context, c *call) error {
	if f.writer == nil {
		return fmt.Errorf("%s is open read-only", f.path)
	}
	if len(c.changes) == 0 {
		return nil
	}
	return f.writer.do(ctx, c)
}
