package store

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Change is a row to be stored in place of the one with its namespace and id, or with
// Delete the namespace and id of one to be removed.
type Change struct {
	Row
	Delete bool
}

// Apply makes all changes in their order, in one transaction that is on the disk when
// it returns, and sets the Key of each: a row in place of another has that one's, and
// the removal of a row that is not there 0. With an error nothing of it is in the
// file.
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
	v := c.encode(r)
	r.Key, _, err = w.do(put, w.next, v[0], v[1], v[2], v[3], v[4], v[5], v[6])
	if err != nil {
		return err
	}
	isNew := r.Key == w.next
	if isNew {
		w.next++
	}
	switch {
	case len(r.Thumbnail) > 0:
		_, _, err = w.do(putThumbnail, r.Key, thumbnailSum(r.Key, r.Thumbnail), r.Thumbnail)
	case !isNew:
		_, _, err = w.do(removeThumbnail, r.Key)
	}
	return err
}

func (w *writer) remove(change *Change) (err error) {
	key, found, err := w.do(find, change.Namespace, change.ID)
	change.Key = key
	if err != nil || !found {
		return err
	}
	for _, statement := range [...]int{remove, removeThumbnail} {
		if _, _, err := w.do(statement, driver.Value(key)); err != nil {
			return err
		}
	}
	return nil
}
