package index

import (
	"context"
	"errors"
	"fmt"
)

// Stats holds sizes of a file.
type Stats struct {
	Items      int
	Namespaces int   // with items
	Memory     int64 // bytes of vectors, their codes and sketches, ids, and metadata as filters use it
	Disk       int64 // bytes of the file
	Log        int64 // bytes of the write-ahead log beside it
	Damaged    int   // items known to be damaged; those found after the load count in Items, too
}

// Stats measures the file and its memory use. It is quick, whatever the file holds.
func (f *File) Stats() Stats {
	st, leave, err := f.enter()
	if err != nil {
		return Stats{}
	}
	defer leave()
	s := Stats{Items: int(st.total.items.Load()), Namespaces: int(st.total.namespaces.Load()), Memory: st.total.bytes.Load()}
	s.Disk, s.Log = st.db.Size()
	s.Damaged = st.damage.count()
	return s
}

// Compact returns the space of deleted items to the disk. The file cannot be used meanwhile.
func (f *File) Compact(ctx context.Context) error {
	return f.alone(func() error { return f.state.db.Compact(ctx) })
}

// alone calls do while the file is not used otherwise.
func (f *File) alone(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return fmt.Errorf("%s: %w", f.path, ErrClosed)
	case f.writer == nil:
		return fmt.Errorf("%s is open read-only", f.path)
	}
	f.writer.close() // a call that its caller has abandoned may still wait to be written
	err := do()
	f.writer = newWriter(f.state, f.sketcher.more)
	f.sketcher.more() // even after an error, as the state may be another one
	return err
}

// Replace puts the content of next in place of f's, in the file and in memory, in one step:
// searches find the old items before it and the new ones after it. Items deleted from f since
// next was filled are deleted from next first. next is closed, even on error, and its file must
// be in the same folder; on error f continues as it was.
func (f *File) Replace(ctx context.Context, next *File) error {
	st, leave, err := f.enter()
	if err != nil {
		return errors.Join(err, next.Close())
	}
	err = next.keepOnly(ctx, st) // most of the work, while f remains usable
	leave()
	if err == nil {
		err = f.alone(func() error {
			if err := next.keepOnly(ctx, f.state); err != nil {
				return err
			}
			return f.adopt(ctx, next)
		})
	}
	return errors.Join(err, next.Close())
}

// adopt is the part of Replace during which nobody may use f.
func (f *File) adopt(ctx context.Context, next *File) error {
	next.mu.Lock()
	defer next.mu.Unlock()
	next.closed = true
	next.writer.close()
	if err := f.state.db.Replace(ctx, next.state.db); err != nil {
		return errors.Join(err, next.state.db.Close())
	}
	f.state = &state{db: f.state.db, binding: next.state.binding, damage: next.state.damage.told(f.state.damage.tell), names: next.state.names, total: next.state.total}
	return nil
}

// keepOnly deletes the items that st does not have.
func (f *File) keepOnly(ctx context.Context, st *state) error {
	for _, ns := range f.Namespaces() {
		ids := f.state.collection(ns.Name).ids()
		_, places := st.collection(ns.Name).find(ids...)
		var extra []string
		for i, id := range ids {
			if places[i] == nowhere {
				extra = append(extra, id)
			}
		}
		if _, err := f.Delete(ctx, ns.Name, extra...); err != nil {
			return err
		}
	}
	return nil
}
