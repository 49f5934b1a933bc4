package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"unicode/utf8"
)

// admit prepares the row that the index of ids has under a name for being replaced or removed.
// With it SQLite removes the index entry of the name that the row itself has. In a damaged row
// that may be none, which is an error of SQLite's, or the entry of another row, which would be
// lost. So a damaged row gets its name back first. If the row is sound, the index is damaged, and
// a change would hit the wrong row.
func (w *writer) admit(key int64, namespace, id string) error {
	_, same, err := w.do(carries, key, namespace, id)
	if err != nil || same {
		return err
	}
	sound, err := w.sound(key)
	if err != nil {
		return err
	}
	if sound {
		return fmt.Errorf("%w: its index of ids leads from %q in namespace %q to another row", ErrDamaged, id, namespace)
	}
	return w.rename(key, namespace, id)
}

// sound reports whether a row has its checksum.
func (w *writer) sound(key int64) (is bool, err error) {
	err = each(context.Background(), w.conn, "SELECT "+rowColumns+" FROM items WHERE key = ?", func(values []driver.Value) error {
		vector, _ := values[7].([]byte)
		_, damage := (&codec{dim: len(vector) / 4}).decode(values, false)
		is = damage == nil
		return nil
	}, key)
	return is, err
}

// rename empties a damaged row and gives it a name, as which it has the index entry, or none has.
// With writable_schema SQLite accepts that the name in the row has no index entry. If another row
// has that name, its entry is made anew.
func (w *writer) rename(key int64, namespace, id string) (err error) {
	was, err := first(w.conn, "SELECT namespace, id FROM items NOT INDEXED WHERE key = ?", key)
	if err != nil || len(was) == 0 {
		return err
	}
	other, taken, err := w.do(find, was...)
	if err != nil {
		return err
	}
	if err := run(w.conn, "PRAGMA writable_schema = 1"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run(w.conn, "PRAGMA writable_schema = 0")) }()
	if _, _, err := w.do(update, namespace, id, "", nil, nil, int64(0), []byte{}, key); err != nil {
		return err
	}
	if taken && other != key {
		_, _, err = w.do(relink, other)
	}
	return err
}

// Discard removes a damaged row, or a damaged thumbnail, as Survey or Load has returned it.
func (s *Store) Discard(ctx context.Context, d Damage) error {
	return s.write(ctx, func(w *writer) error {
		if d.Thumbnail {
			_, _, err := w.do(removeThumbnail, d.Key)
			return err
		}
		key, found, err := w.do(find, d.Namespace, d.ID)
		if err != nil {
			return err
		}
		if found && key == d.Key {
			err = w.admit(key, d.Namespace, d.ID)
		} else {
			err = w.rename(d.Key, "", fmt.Sprintf("\x00%d", d.Key)) // no item has an empty namespace
		}
		if err != nil {
			return err
		}
		return w.erase(d.Key)
	})
}

// Remains returns what can still be read of a damaged row or thumbnail, by column. Text that is
// not UTF-8 is returned as bytes.
func (s *Store) Remains(ctx context.Context, d Damage) (map[string]any, error) {
	table, columns := "items", []string{"namespace", "id", "source", "metadata", "hash", "sum", "vector"}
	if d.Thumbnail {
		table, columns = "thumbnails", []string{"sum", "jpeg"}
	}
	left := map[string]any{}
	err := s.read(ctx, "read from index", func(c *conn) error {
		for _, column := range columns { // one that cannot be read must not hide the others
			row, err := first(c, "SELECT "+column+" FROM "+table+" NOT INDEXED WHERE key = ?", d.Key)
			if err != nil && !corrupt(err) {
				return err
			}
			if len(row) == 0 || row[0] == nil {
				continue
			}
			left[column] = row[0]
			if text, is := row[0].(string); is && !utf8.ValidString(text) {
				left[column] = []byte(text)
			}
		}
		return nil
	})
	return left, err
}
