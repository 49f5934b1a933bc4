package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"

	"github.com/mattn/go-sqlite3"
)

// conn is a connection to a file, for one goroutine at a time.
type conn = sqlite3.SQLiteConn

// access is a way of opening a file.
type access struct {
	query    string // of SQLite's URI
	settings []setting
	draft    bool // the file is being created, and cannot be identified yet
}

// setting is a PRAGMA, with its value as SQLite reads it back.
type setting struct{ name, value string }

// Limits of a file in use.
const (
	walLimit    = 64 << 20 // bytes of the log
	autoPages   = 1000     // pages of the log from which it is moved into the file, see advance
	fullLimit   = 1 << 20  // bytes of the log once the disk has been full
	busyTimeout = 2000     // ms, for other processes' locks
	maxReaders  = 8        // connections
)

var (
	careful = []setting{
		{"busy_timeout", strconv.Itoa(busyTimeout)},
		{"cell_size_check", "1"}, // detect damage before it spreads
		{"trusted_schema", "0"},
		{"synchronous", "2"}, // FULL: a transaction is on the disk once committed
		{"fullfsync", "1"},   // for systems where fsync alone does not reach the disk
	}
	logged   = []setting{{"page_size", strconv.Itoa(pageSize)}, {"journal_mode", "wal"}, {"wal_autocheckpoint", "0"}, {"journal_size_limit", strconv.Itoa(walLimit)}}
	onlyRead = []setting{{"query_only", "1"}, {"cache_size", "-4096"}} // KiB
)

// The ways of opening a file. The order of settings matters: the first table or the log fixes the
// page size.
var (
	drafting = access{query: "mode=rwc", settings: join([]setting{{"page_size", strconv.Itoa(pageSize)}, {"journal_mode", "delete"}}, careful), draft: true}
	writing  = access{query: "mode=rw", settings: join(logged, careful, []setting{{"cache_size", "-32768"}})}
	reading  = access{query: "mode=rw&_stmt_cache_size=8", settings: join(logged, careful, onlyRead)}
	visiting = access{query: "mode=ro&_stmt_cache_size=8", settings: join(careful, onlyRead)}
	resting  = access{query: "mode=ro&immutable=1&_stmt_cache_size=8", settings: join(careful, onlyRead)}
)

func join(lists ...[]setting) (all []setting) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// connect opens a connection with all settings in effect, or fails.
func (a access) connect(path string) (*conn, error) {
	d := sqlite3.SQLiteDriver{ConnectHook: a.prepare}
	c, err := d.Open((&url.URL{Scheme: "file", Path: path, RawQuery: a.query}).String())
	if err != nil {
		return nil, err
	}
	return c.(*conn), nil
}

// prepare applies the settings to a new connection and verifies them.
func (a access) prepare(c *conn) error {
	if !a.draft {
		if err := identify(c); err != nil {
			return err
		}
	}
	for _, s := range a.settings {
		if err := run(c, "PRAGMA "+s.name+" = "+s.value); err != nil {
			return err
		}
	}
	return a.verify(c)
}

func (a access) verify(c *conn) error {
	for _, s := range a.settings {
		row, err := first(c, "PRAGMA "+s.name)
		if err != nil {
			return err
		}
		if len(row) != 1 || fmt.Sprint(row[0]) != s.value {
			return fmt.Errorf("%s is %v, not %s", s.name, row, s.value)
		}
	}
	return nil
}

// connect opens the connections to the store's file.
func (s *Store) connect(ctx context.Context) (*session, error) {
	next, err := connect(ctx, s.path, s.readOnly)
	if err == nil && next.writer != nil {
		next.writer.failed = s.failed
	}
	return next, err
}

func connect(ctx context.Context, path string, readOnly bool) (s *session, err error) {
	s = &session{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.disconnect())
			s = nil
		}
	}()
	how := reading
	if readOnly {
		if how, err = visit(path); err != nil {
			return s, err
		}
	} else if s.claim, err = newClaim(path); err != nil {
		return s, err
	} else if s.writer, err = newWriter(path); err != nil {
		return s, err
	}
	if s.reads, err = newReaders(how, path); err != nil {
		return s, err
	}
	return s, s.reads.use(ctx, func(c *conn) error {
		s.about, err = readAbout(ctx, c)
		return err
	})
}

// visit returns how a reader that does not own the file can open it. If SQLite cannot create its
// files beside it, and there is no log, nobody else has it open.
func visit(path string) (access, error) {
	c, err := visiting.connect(path)
	if err == nil {
		return visiting, c.Close()
	}
	if e, ok := errors.AsType[sqlite3.Error](err); !ok || e.Code != sqlite3.ErrCantOpen && e.Code != sqlite3.ErrReadonly {
		return access{}, err
	}
	if logSize(path) > 0 {
		return access{}, fmt.Errorf("%w: to read the write-ahead log that a crash has left behind, its folder must be writable", fs.ErrPermission)
	}
	return resting, nil
}

// disconnect closes all connections.
func (s *session) disconnect() (err error) {
	if s.reads != nil {
		err = s.reads.db.Close()
	}
	if s.writer != nil {
		err = errors.Join(err, s.writer.close())
	}
	if s.claim != nil {
		err = errors.Join(err, s.claim.close())
	}
	return err
}
