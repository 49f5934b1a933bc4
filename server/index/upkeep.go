package index

import (
	"context"
	"errors"
	"fmt"
)

// Stats are sizes.
type Stats struct {
	Items  int
	Memory int64 // bytes of vectors, their codes and sketches, and the columns of filters
	Disk   int64 // bytes of the file
	Log    int64 // bytes of the write-ahead log beside it
}

// Stats measures the file and what it takes of memory.
func (f *File) Stats() Stats {
	st, leave, err := f.enter()
	if err != nil {
		return Stats{}
	}
	defer leave()
	var s Stats
	for _, name := range st.sorted() {
		now := st.collection(name).snapshot()
		s.Items += now.items
		s.Memory += now.bytes()
	}
	s.Disk, s.Log = st.db.Size()
	return s
}

// bytes of what grows with the items.
func (s *snapshot) bytes() (n int64) {
	for _, p := range s.parts {
		if p.segment != nil {
			n += int64(len(p.keys))*(5*int64(s.dim)+4+4+8+16) + int64(8*len(p.live)) + p.page.Size()
			if k := p.sketches.Load(); k != nil {
				n += k.Bytes()
			}
		}
	}
	return n
}

// Backup writes a copy of the file to path, where nothing may be, as it is at one moment
// of the call. Others may write meanwhile.
func (f *File) Backup(ctx context.Context, path string) error {
	st, leave, err := f.enter()
	if err != nil {
		return err
	}
	defer leave()
	return st.db.Backup(ctx, path)
}

// Verify reads everything in the file and compares it with its checksums. Damage is an
// error that wraps ErrDamaged and says where.
func (f *File) Verify(ctx context.Context) error {
	st, leave, err := f.enter()
	if err != nil {
		return err
	}
	defer leave()
	return st.db.Verify(ctx)
}

// Compact gives the room of what was deleted back to the disk. Nothing can be done with
// the file meanwhile.
func (f *File) Compact(ctx context.Context) error {
	return f.alone(func() error { return f.state.db.Compact(ctx) })
}

// alone does something while nothing else is done with the file.
func (f *File) alone(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return fmt.Errorf("%s: %w", f.path, ErrClosed)
	case f.writer == nil:
		return fmt.Errorf("%s is open to be read only", f.path)
	}
	f.writer.close() // a call whose caller has left may still wait to be written
	err := do()
	f.writer = newWriter(f.state, f.sketcher.more)
	f.sketcher.more() // err or not, as another state may be there
	return err
}

// Replace puts the content of next in the place of f's, file and memory, in one step:
// searches find the old items until it and the new ones from then on. What was deleted
// from f since next was filled goes first. next is closed, also after an error, and its
// file must be in the same folder; after an error f goes on as it was.
func (f *File) Replace(ctx context.Context, next *File) error {
	st, leave, err := f.enter()
	if err != nil {
		return errors.Join(err, next.Close())
	}
	err = next.keepOnly(ctx, st) // most of the work, while others use f
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

// adopt is Replace while nobody uses f.
func (f *File) adopt(ctx context.Context, next *File) error {
	next.mu.Lock()
	defer next.mu.Unlock()
	next.closed = true
	next.writer.close()
	if err := f.state.db.Replace(ctx, next.state.db); err != nil {
		return errors.Join(err, next.state.db.Close())
	}
	f.state = &state{db: f.state.db, binding: next.state.binding, names: next.state.names}
	return nil
}

// keepOnly deletes what st does not have.
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
