package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Report is what is wrong with a file, as far as it can be told.
type Report struct {
	Rows    int      // sound ones
	Damaged []Damage // rows, and then thumbnails, each in key order
	Other   []string // findings that belong to no row, such as those of SQLite on the file's structure

	// Unsound says that pages of the file are lost, or in use twice: a change of one row may then
	// destroy another.
	Unsound bool
}

// Survey reads the whole file and checks its structure and every checksum. It calls each for
// every sound row, as Load does. Damage is not an error of Survey's, and does not end it.
func (s *Store) Survey(ctx context.Context, each func(r *Row) error) (*Report, error) {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return nil, explain("verify index", s.path, s.closed)
	}
	r := &Report{}
	err := s.reads.use(ctx, func(c *conn) error { return s.survey(ctx, c, r, each) })
	if err != nil {
		return nil, explain("verify index", s.path, err)
	}
	return r, nil
}

func (s *session) survey(ctx context.Context, c *conn, r *Report, do func(r *Row) error) error {
	if err := r.checkStructure(ctx, c); err != nil {
		return err
	}
	bad, err := s.rows(ctx, c, func(row *Row) error {
		r.Rows++
		return do(row)
	})
	r.Damaged = bad
	if err := r.note(err); err != nil {
		return err
	}
	var thumbnails []Damage
	err = each(ctx, c, "SELECT key, sum, jpeg FROM thumbnails ORDER BY key", func(values []driver.Value) error {
		_, err := checkThumbnail(values)
		if d, is := errors.AsType[*Damage](err); is {
			thumbnails = append(thumbnails, *d)
		}
		return nil
	})
	if err := r.note(errors.Join(err, name(ctx, c, thumbnails))); err != nil {
		return err
	}
	r.Damaged = append(r.Damaged, thumbnails...)
	return r.note(each(ctx, c, "SELECT name, sum, value FROM meta", func(values []driver.Value) error {
		_, err := checkMeta(values)
		return r.note(err)
	}))
}

// Err returns the first finding as an error that wraps ErrDamaged, nil for a sound file.
func (r *Report) Err() error {
	switch {
	case len(r.Other) > 0:
		return fmt.Errorf("%w: %s", ErrDamaged, r.Other[0])
	case len(r.Damaged) > 0:
		return &r.Damaged[0]
	}
	return nil
}

// note adds an error that is due to damage to the report, and returns any other.
func (r *Report) note(err error) error {
	if err == nil || !errors.Is(err, ErrDamaged) && meaning(err) != ErrDamaged {
		return err
	}
	r.Other = append(r.Other, strings.TrimPrefix(err.Error(), ErrDamaged.Error()+": "))
	return nil
}

// Size returns the index's size on the disk in bytes: that of the file, and that of the log of
// changes not yet in it.
func (s *Store) Size() (file, wal int64) {
	if info, err := os.Stat(s.path); err == nil {
		file = info.Size()
	}
	return file, logSize(s.path)
}
