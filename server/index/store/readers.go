package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"

	"github.com/mattn/go-sqlite3"
)

// readers are connections that only read, made as they are needed.
type readers struct {
	db   *sql.DB
	how  access
	path string
	file os.FileInfo // what all of them must read
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

// Connect makes readers a driver.Connector.
func (r *readers) Connect(context.Context) (driver.Conn, error) {
	c, err := r.how.connect(r.path)
	if err != nil {
		return nil, err
	}
	// The owner may have put another file in place, in which other rows have the keys.
	if file, err := os.Stat(r.path); err != nil || !os.SameFile(file, r.file) {
		return nil, errors.Join(errReplaced, c.Close())
	}
	return c, nil
}

// Driver is a part of driver.Connector that nobody needs.
func (r *readers) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

var errReplaced = errors.New("its owner has put another file in place")

// use lends a connection.
func (r *readers) use(ctx context.Context, do func(c *conn) error) error {
	c, err := r.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(c any) error { return do(c.(*conn)) })
}
