package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"

	"github.com/mattn/go-sqlite3"
)

// readers is a pool of read-only connections, opened on demand.
type readers struct {
	db   *sql.DB
	how  access
	path string
	file os.FileInfo // the file that all of them must read
}

func newReaders(how access, path string) (*readers, error) {
	file, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	r := &readers{how: how, path: path, file: file}
	r.db = sql.OpenDB(r)
	r.db.SetMaxOpenConns(maxReaders)
	r.db.SetMaxIdleConns(maxReaders)
	return r, nil
}

// Connect implements driver.Connector.
func (r *readers) Connect(context.Context) (driver.Conn, error) {
	c, err := r.how.connect(r.path)
	if err != nil {
		return nil, err
	}
	// The owner may have replaced the file by one in which the keys are those of other rows.
	if file, err := os.Stat(r.path); err != nil || !os.SameFile(file, r.file) {
		return nil, errors.Join(errReplaced, c.Close())
	}
	return c, nil
}

// Driver implements driver.Connector; nothing uses it.
func (r *readers) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

var errReplaced = errors.New("its owner has replaced the file")

// use calls do with a connection.
func (r *readers) use(ctx context.Context, do func(c *conn) error) error {
	c, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(c any) error { return do(c.(*conn)) })
}
