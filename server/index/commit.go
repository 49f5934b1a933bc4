package index

import (
	"context"
	"errors"
	"slices"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// commit writes the calls of a group together or, if that fails, one by one, so that a faulty
// call fails alone. If what was written together may still take effect, each call has to report
// that.
func (w *writer) commit(group []*call) {
	err := w.apply(group)
	if err == nil || len(group) == 1 || errors.Is(err, ErrUnsure) {
		for _, c := range group {
			c.done <- err
		}
	} else {
		for _, c := range group {
			c.done <- w.apply([]*call{c})
		}
	}
	for _, c := range group {
		to := w.state.collection(c.namespace)
		to.forget()
		if to.filled {
			to.filled = false
			w.full()
		}
		w.changes += len(c.changes)
	}
	if w.changes >= tuneEvery {
		w.changes = 0
		tune(w.state.total.bytes.Load())
	}
}

// tuneEvery is the number of changes between two calls of tune.
const tuneEvery = 1 << 14

// apply writes calls in one transaction, and then publishes them to searches.
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
		for i := range c.changes {
			if w.state.damage.heal(c.changes[i].Key) {
				c.were[i] = true
			}
		}
	}
	w.leave(group)
	return nil
}

// leave removes namespaces that have no items.
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
	if errors.Is(err, filter.ErrFields) { // some may be of metadata that is gone
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

// encode encodes the metadata of calls for filters. On error, it removes the fields that only
// they have.
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

// uncode reverts encode.
func uncode(group []*call) {
	for _, c := range slices.Backward(group) {
		c.to.fields.Reset(c.mark)
		c.to.coded = c.coded
	}
}

// stores reports whether a call does more than delete.
func (c *call) stores() bool {
	return slices.ContainsFunc(c.rows, func(r *row) bool { return r != nil })
}
