package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
)

// maxComplaints is the number of SQLite's findings that a report lists.
const maxComplaints = 3

// structural begins SQLite's findings on the pages of a file. It reports them before those on
// rows and indexes, such as a row that its index lacks.
const structural = "*** in database "

// CheckStructure is the part of Survey that does not read rows: its report has no Rows and
// Damaged.
func (s *Store) CheckStructure(ctx context.Context) (*Report, error) {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return nil, explain("verify index", s.path, s.closed)
	}
	r := &Report{}
	if err := s.reads.use(ctx, func(c *conn) error { return r.checkStructure(ctx, c) }); err != nil {
		return nil, explain("verify index", s.path, err)
	}
	return r, nil
}

// checkStructure adds what SQLite finds wrong with pages and with the index of ids. If the check
// itself fails because of damage, nothing is known of the pages, and they count as unsound.
func (r *Report) checkStructure(ctx context.Context, c *conn) error {
	var found []string
	err := each(ctx, c, fmt.Sprintf("PRAGMA integrity_check(%d)", maxComplaints), func(values []driver.Value) error {
		if text := fmt.Sprint(values[0]); text != "ok" {
			found = append(found, text)
			r.Unsound = r.Unsound || strings.HasPrefix(text, structural)
		}
		return nil
	})
	if found != nil {
		r.Other = append(r.Other, strings.Join(found, "; "))
	}
	if err != nil && meaning(err) == ErrDamaged {
		r.Unsound = true
	}
	return r.note(err)
}
