package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
)

// read calls do with a connection, for a short time.
func (s *Store) read(ctx context.Context, doing string, do func(c *conn) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return explain(doing, s.path, s.closed)
	}
	return explain(doing, s.path, s.reads.use(ctx, do))
}

// countRows counts the entries of the index of ids, which is a hundredth of the table's size.
const countRows = "SELECT count(*) FROM " + entries

// Rows returns the number of rows.
func (s *Store) Rows(ctx context.Context) (n int, err error) {
	err = s.read(ctx, "count the rows of index", func(c *conn) error {
		count, err := number(c, countRows)
		n = int(count)
		return err
	})
	return n, err
}

// Get returns rows by key, without thumbnails, and with vectors only on request. Keys without a
// row are omitted, and the error for a damaged row wraps a *Damage. All rows are as of one moment.
func (s *Store) Get(ctx context.Context, keys []int64, vectors bool) (map[int64]Row, error) {
	found := make(map[int64]Row, len(keys))
	var damage error
	err := s.Each(ctx, keys, vectors, func(i int, r *Row, bad *Damage) (more bool) {
		if bad != nil {
			damage = explain("read from index", s.path, bad)
			return false
		}
		found[keys[i]] = *r
		return true
	})
	if err = errors.Join(err, damage); err != nil {
		return nil, err
	}
	return found, nil
}

// Each is Get, one row at a time in the order of keys: it passes rows to take, which may keep
// them, until take returns false, and reads no further. i is the index of the row's key. For a
// damaged row r is nil, and bad says what is known of it.
func (s *Store) Each(ctx context.Context, keys []int64, vectors bool, take func(i int, r *Row, bad *Damage) (more bool)) error {
	return s.read(ctx, "read from index", func(c *conn) error {
		return snapshot(c, func() error { // starting a read costs as much as a row
			for i, key := range keys {
				r, err := s.row(ctx, c, key, vectors)
				bad, _ := errors.AsType[*Damage](err)
				if corrupt(err) {
					bad = &Damage{Key: key, Reason: unreadable}
				}
				if bad == nil && err != nil {
					return err
				}
				if (r != nil || bad != nil) && !take(i, r, bad) {
					return nil
				}
			}
			return nil
		})
	})
}

// row reads a row into newly allocated memory; nil if there is none.
func (s *session) row(ctx context.Context, c *conn, key int64, vectors bool) (r *Row, err error) {
	own := codec{dim: s.about.Dim}
	err = each(ctx, c, "SELECT "+rowColumns+pictured+" FROM items WHERE key = ?", func(values []driver.Value) error {
		if r, err = own.decode(values, vectors); err != nil {
			return err
		}
		return io.EOF
	}, key)
	return r, err
}

// Thumbnail returns the thumbnail of the row with a key, nil if there is none.
func (s *Store) Thumbnail(ctx context.Context, key int64) (jpeg []byte, err error) {
	err = s.read(ctx, "read from index", func(c *conn) error {
		return each(ctx, c, "SELECT key, sum, jpeg FROM thumbnails WHERE key = ?", func(values []driver.Value) error {
			jpeg, err = checkThumbnail(values)
			return err
		}, key)
	})
	return slices.Clip(jpeg), err
}

// checkThumbnail verifies the checksum of a row of the thumbnails table and returns the
// thumbnail.
func checkThumbnail(values []driver.Value) ([]byte, error) {
	key, _ := values[0].(int64)
	jpeg, ok := values[2].([]byte)
	if !ok || values[1] != any(thumbnailSum(key, jpeg)) {
		return nil, &Damage{Key: key, Thumbnail: true, Reason: failsChecksum}
	}
	return jpeg, nil
}
