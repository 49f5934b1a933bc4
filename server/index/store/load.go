package store

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// Load calls each for every row, in key order and without thumbnails, until it returns an error.
// The row's memory is reused for the next. All rows are as of one moment.
func (s *Store) Load(ctx context.Context, each func(r *Row) error) error {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return explain("load index", s.path, s.closed)
	}
	return explain("load index", s.path, s.reads.use(ctx, func(c *conn) error { return s.rows(ctx, c, each) }))
}

// rows reads the whole table. SQLite may silently read only a part of a damaged one, so the
// number of rows is compared with that of the index of ids.
func (s *session) rows(ctx context.Context, c *conn, do func(r *Row) error) error {
	return snapshot(c, func() error {
		count, err := number(c, countRows)
		if err != nil {
			return err
		}
		own := codec{dim: s.about.Dim}
		err = each(ctx, c, "SELECT "+rowColumns+" FROM items ORDER BY key", func(values []driver.Value) error {
			r, err := own.decode(values, true)
			if err != nil {
				return err
			}
			count--
			return do(r)
		})
		if err == nil && count != 0 {
			err = fmt.Errorf("%w: the rows are not as many as their ids", ErrDamaged)
		}
		return err
	})
}
