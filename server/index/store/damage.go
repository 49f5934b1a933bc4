package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/mattn/go-sqlite3"
)

// Damage is a row, or the thumbnail of one, that is not as it was written. It is an error that
// wraps ErrDamaged.
type Damage struct {
	Key       int64
	Namespace string // as the index of ids has it, otherwise as far as it can be read
	ID        string // likewise
	Thumbnail bool   // only the row's thumbnail is damaged
	Reason    string // worded to follow "the row"
}

func (d *Damage) Error() string {
	what := "the row"
	if d.Thumbnail {
		what = "the thumbnail"
	}
	if d.ID == "" {
		return fmt.Sprintf("%v: %s with key %d %s", ErrDamaged, what, d.Key, d.Reason)
	}
	return fmt.Sprintf("%v: %s of %q in namespace %q %s", ErrDamaged, what, d.ID, d.Namespace, d.Reason)
}

func (d *Damage) Unwrap() error { return ErrDamaged }

const (
	failsChecksum = "fails its checksum"
	unreadable    = "cannot be read"
)

// corrupt reports whether SQLite cannot make sense of what it reads.
func corrupt(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && e.Code == sqlite3.ErrCorrupt
}

// errCount is the error for a table and an index of ids that disagree. SQLite may silently read
// only a part of a damaged table, or a part of it over and over.
var errCount = fmt.Errorf("%w: the rows are not as many as their ids", ErrDamaged)

// walk calls do for every sound row in key order, and returns the damaged ones; count is the
// number of all rows. A row that SQLite cannot decode is passed over as long as its key can be
// read.
func (s *session) walk(ctx context.Context, c *conn, count int64, do func(r *Row) error) (bad []Damage, err error) {
	own := codec{dim: s.about.Dim}
	last := int64(math.MinInt64)
	for {
		err := each(ctx, c, "SELECT "+rowColumns+" FROM items WHERE key > ? ORDER BY key", func(values []driver.Value) error {
			if count--; count < 0 {
				return errCount
			}
			key, _ := values[0].(int64)
			last = max(last, key)
			r, err := own.decode(values, true)
			if d, is := errors.AsType[*Damage](err); is {
				bad = append(bad, *d)
				return nil
			}
			return do(r)
		}, last)
		if err == nil && count != 0 {
			err = errCount
		}
		if !corrupt(err) {
			return bad, err
		}
		key, e := first(c, "SELECT key FROM items WHERE key > ? ORDER BY key LIMIT 1", last)
		if e != nil || len(key) == 0 || key[0].(int64) <= last {
			return bad, err
		}
		last, _ = key[0].(int64)
		count--
		bad = append(bad, Damage{Key: last, Reason: unreadable})
	}
}

// entries is the index of ids. A query of it does not read the table.
const entries = "items INDEXED BY sqlite_autoindex_items_1"

// name sets the names of damaged rows to those that the index of ids has for their keys, by which
// changes find them. Where it has none they stay as they are.
func name(ctx context.Context, c *conn, bad []Damage) error {
	if len(bad) == 0 {
		return nil
	}
	at := map[int64][]int{}
	for i, d := range bad {
		at[d.Key] = append(at[d.Key], i)
	}
	return each(ctx, c, "SELECT key, namespace, id FROM "+entries, func(values []driver.Value) error {
		key, _ := values[0].(int64)
		for _, i := range at[key] {
			if id, is := values[2].(string); is {
				bad[i].Namespace, _ = values[1].(string)
				bad[i].ID = id
			}
		}
		if delete(at, key); len(at) == 0 {
			return io.EOF
		}
		return nil
	})
}
