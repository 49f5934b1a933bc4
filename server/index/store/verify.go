package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"strings"
)

// Verify reads the whole file and checks its structure and every checksum. The error for a file
// that is not as it was written is ErrDamaged.
func (s *Store) Verify(ctx context.Context) error {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return explain("verify index", s.path, s.closed)
	}
	return explain("verify index", s.path, s.reads.use(ctx, func(c *conn) error { return s.verify(ctx, c) }))
}

func (s *session) verify(ctx context.Context, c *conn) error {
	if err := checkStructure(ctx, c); err != nil {
		return err
	}
	if err := s.rows(ctx, c, func(*Row) error { return nil }); err != nil {
		return err
	}
	err := each(ctx, c, "SELECT key, sum, jpeg FROM thumbnails", func(values []driver.Value) error {
		_, err := checkThumbnail(values)
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, c, "SELECT name, sum, value FROM meta", func(values []driver.Value) error {
		_, err := checkMeta(values)
		return err
	})
}

// maxComplaints is the number of SQLite's findings that an error lists.
const maxComplaints = 3

func checkStructure(ctx context.Context, c *conn) error {
	var found []string
	err := each(ctx, c, fmt.Sprintf("PRAGMA integrity_check(%d)", maxComplaints), func(values []driver.Value) error {
		if text := fmt.Sprint(values[0]); text != "ok" {
			found = append(found, text)
		}
		return nil
	})
	if err == nil && found != nil {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.Join(found, "; "))
	}
	return err
}

// Size returns the index's size on the disk in bytes: that of the file, and that of the log of
// changes not yet in it.
func (s *Store) Size() (file, wal int64) {
	if info, err := os.Stat(s.path); err == nil {
		file = info.Size()
	}
	return file, logSize(s.path)
}
