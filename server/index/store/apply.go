package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// Change is a row to insert, or to replace the one with its namespace and id; with Delete, the
// namespace and id of a row to remove.
type Change struct {
	Row
	Delete bool
}

// Apply makes all changes in order, in one transaction that is on the disk when it returns, and
// sets the Key of each: a row that replaces another keeps that one's key, and removing a missing
// row sets 0. On error, other than ErrUnsure, the file is unchanged.
func (s *Store) Apply(ctx context.Context, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	return s.write(ctx, func(w *writer) error {
		c := codec{dim: s.about.Dim}
		for i := range changes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := w.apply(&changes[i], &c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) apply(change *Change, c *codec) (err error) {
	if change.Delete {
		return w.remove(change)
	}
	r := &change.Row
	if len(r.Vector) != c.dim {
		return fmt.Errorf("the vector of %q has %d numbers, and those of the index have %d", r.ID, len(r.Vector), c.dim)
	}
	isNew, err := w.put(r, c)
	if err != nil {
		return err
	}
	switch {
	case len(r.Thumbnail) > 0:
		_, _, err = w.do(putThumbnail, r.Key, thumbnailSum(r.Key, r.Thumbnail), r.Thumbnail)
	case !isNew:
		_, _, err = w.do(removeThumbnail, r.Key)
	}
	return err
}

// put inserts a row, or updates the one with its id. SQLite's own upsert takes twice as long
// where most rows are new.
func (w *writer) put(r *Row, c *codec) (isNew bool, err error) {
	values := c.encode(r, w.next)
	_, _, err = w.do(insert, values...)
	if err == nil {
		r.Key = w.next
		w.next++
		return true, nil
	}
	if e, ok := errors.AsType[sqlite3.Error](err); !ok || e.ExtendedCode != sqlite3.ErrConstraintUnique {
		return false, err
	}
	if r.Key, _, err = w.do(find, r.Namespace, r.ID); err != nil {
		return false, err
	}
	if err := w.admit(r.Key, r.Namespace, r.ID); err != nil {
		return false, err
	}
	values[len(values)-1] = r.Key
	_, _, err = w.do(update, values...)
	return false, err
}

func (w *writer) remove(change *Change) (err error) {
	key, found, err := w.do(find, change.Namespace, change.ID)
	change.Key = key
	if err != nil || !found {
		return err
	}
	if err := w.admit(key, change.Namespace, change.ID); err != nil {
		return err
	}
	return w.erase(key)
}

// erase removes a row and its thumbnail.
func (w *writer) erase(key int64) error {
	w.bare = w.bare || key >= w.top
	for _, statement := range [...]int{remove, removeThumbnail} {
		if _, _, err := w.do(statement, key); err != nil {
			return err
		}
	}
	return nil
}
