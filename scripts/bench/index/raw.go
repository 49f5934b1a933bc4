package main

import (
	"database/sql/driver"
	"errors"

	"github.com/mattn/go-sqlite3"

	"vicreg/pipeline/vectors"
	"vicreg/server/index"
)

// raw is plain SQLite: the minimum cost of storing the same rows durably. Table and settings are
// those of an index.
type raw struct {
	conn                  driver.Conn
	begin, insert, commit driver.Stmt
	next                  int64
}

// The settings are those of the store's writing connection.
var rawSettings = []string{"PRAGMA page_size = 16384", "PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 1000",
	"PRAGMA journal_size_limit = 67108864", "PRAGMA synchronous = FULL", "PRAGMA cache_size = -32768"}

const rawTable = `CREATE TABLE items (key INTEGER PRIMARY KEY, namespace TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL,
	metadata TEXT, hash BLOB, sum INTEGER NOT NULL, vector BLOB NOT NULL, UNIQUE (namespace, id)) STRICT`

func openRaw(path string) (_ *raw, err error) {
	removeIndex(path)
	r := &raw{}
	if r.conn, err = (&sqlite3.SQLiteDriver{}).Open("file:" + path); err != nil {
		return nil, err
	}
	for _, statement := range append(rawSettings, rawTable) {
		s, err := r.conn.Prepare(statement)
		if err != nil {
			return nil, err
		}
		if _, err := execute(s); err != nil {
			return nil, err
		}
		s.Close()
	}
	for to, text := range map[*driver.Stmt]string{&r.begin: "BEGIN IMMEDIATE", &r.commit: "COMMIT",
		&r.insert: "INSERT INTO items VALUES (?, ?, ?, ?, ?, NULL, ?, ?)"} {
		if *to, err = r.conn.Prepare(text); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// execute runs a statement without a context, as there is no one to cancel it.
func execute(s driver.Stmt, args ...driver.Value) (driver.Result, error) {
	//lint:ignore SA1019 see above
	return s.Exec(args)
}

// write stores items in one transaction.
func (r *raw) write(items []index.Item) error {
	if _, err := execute(r.begin); err != nil {
		return err
	}
	for _, it := range items {
		r.next++
		_, err := execute(r.insert, r.next, index.DefaultNamespace, it.ID, it.Source, string(it.Metadata), r.next<<20, vectors.Append(nil, it.Vector))
		if err != nil {
			return err
		}
	}
	_, err := execute(r.commit)
	return err
}

func (r *raw) close() error {
	return errors.Join(r.begin.Close(), r.insert.Close(), r.commit.Close(), r.conn.Close())
}
