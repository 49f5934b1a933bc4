package store

import "context"

// Load calls each for every sound row, in key order and without thumbnails, until it returns an
// error. The row's memory is reused for the next. Damaged rows are left out and returned. All rows
// are as of one moment.
func (s *Store) Load(ctx context.Context, each func(r *Row) error) (bad []Damage, err error) {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return nil, explain("load index", s.path, s.closed)
	}
	err = s.reads.use(ctx, func(c *conn) error {
		bad, err = s.rows(ctx, c, each)
		return err
	})
	return bad, explain("load index", s.path, err)
}

// rows reads the whole table. On error it returns the damaged rows found until then.
func (s *session) rows(ctx context.Context, c *conn, do func(r *Row) error) (bad []Damage, err error) {
	err = snapshot(c, func() error {
		count, err := number(c, countRows)
		if err != nil {
			return err
		}
		if bad, err = s.walk(ctx, c, count, do); err != nil {
			return err
		}
		return name(ctx, c, bad)
	})
	return bad, err
}
