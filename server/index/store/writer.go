package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// writer is the only connection that changes a file.
type writer struct {
	*conn
	path      string
	statement [len(statements)]driver.Stmt
	next      int64 // key of the next new row; keys are never reused
	top       int64 // highest key that the file itself records as assigned
	bare      bool  // the current change removes a row that recorded it
	full      bool  // the disk is full, and the log could not be emptied
	unsure    bool  // a change that has failed may be in the log, see mend
	limit     int64 // bytes of the log from which it is emptied by force
	usual     int64 // what limit is reset to afterwards

	failed func(error) // see Options.CheckpointFailed; may be nil
}

// The statements that changes consist of.
const (
	insert = iota
	update
	find
	remove
	putThumbnail
	removeThumbnail
	carries
	relink
)

var statements = [...]string{
	insert:          "INSERT INTO items (namespace, id, source, metadata, hash, sum, vector, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	update:          "UPDATE items SET namespace = ?, id = ?, source = ?, metadata = ?, hash = ?, sum = ?, vector = ? WHERE key = ?",
	find:            "SELECT key FROM items WHERE namespace = ? AND id = ?",
	remove:          "DELETE FROM items WHERE key = ?",
	putThumbnail:    "INSERT OR REPLACE INTO thumbnails (key, sum, jpeg) VALUES (?, ?, ?)",
	removeThumbnail: "DELETE FROM thumbnails WHERE key = ?",
	carries:         "SELECT 1 FROM items NOT INDEXED WHERE key = ? AND namespace = ? AND id = ?",
	relink:          "UPDATE items SET namespace = namespace, id = id WHERE key = ?",
}

func newWriter(path string) (w *writer, err error) {
	w = &writer{path: path, limit: walLimit, usual: walLimit}
	if w.conn, err = writing.connect(path); err != nil {
		return nil, err
	}
	if err = w.prepare(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *writer) prepare() (err error) {
	for i, query := range statements {
		if w.statement[i], err = w.conn.Prepare(query); err != nil {
			return err
		}
	}
	if w.top, err = lastKey(w.conn); err != nil {
		return err
	}
	w.next = w.top + 1
	// SQLite opens a write-protected file, too, but only for reading.
	return run(w.conn, "BEGIN IMMEDIATE; "+setVersion+"; ROLLBACK")
}

func (w *writer) close() error {
	for _, s := range w.statement {
		if s != nil {
			s.Close()
		}
	}
	return w.conn.Close()
}

// do runs a prepared statement and returns the integer that it yields, if any. A query takes
// fewer calls into C than the driver's Exec.
func (w *writer) do(statement int, args ...driver.Value) (answer int64, found bool, err error) {
	//lint:ignore SA1019 there is no context to heed
	rows, err := w.statement[statement].Query(args)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if len(rows.Columns()) == 0 {
		return 0, false, nil
	}
	var values [1]driver.Value
	if err := rows.Next(values[:]); err != nil {
		if err == io.EOF {
			err = nil
		}
		return 0, false, err
	}
	answer, found = values[0].(int64)
	return answer, found, nil
}

// write makes a change to the file in one transaction. The change is on the disk when write
// returns nil; on error nothing of it is, or ErrUnsure.
func (s *Store) write(ctx context.Context, change func(w *writer) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.session == nil {
		return explain("write index", s.path, s.closed)
	}
	if s.writer == nil {
		return explain("write index", s.path, errReadOnly)
	}
	if err := errors.Join(ctx.Err(), s.claim.check(s.path)); err != nil {
		return explain("write index", s.path, err)
	}
	return explain("write index", s.path, s.writer.transact(func() error { return change(s.writer) }))
}

var errReadOnly = errors.New("it is open read-only")

// transact makes a change. If the disk is full, it empties the log, which may be what fills it,
// and tries again. If the log cannot be emptied, the next change starts by trying to: otherwise
// the log would take up any space that is freed, and the file never get any. From then on the log
// is kept short.
func (w *writer) transact(change func() error) error {
	if err := w.mend(); err != nil {
		return fmt.Errorf("%w: %w", errUnmended, err)
	}
	if w.full {
		w.reclaim()
	}
	before := logSize(w.path)
	err := w.attempt(change)
	if isFull(err) {
		w.limit, w.usual = fullLimit, fullLimit
		if w.reclaim() && before > 0 {
			if err = w.attempt(change); isFull(err) {
				w.reclaim()
			}
		}
	}
	if err != nil && w.mend() != nil {
		err = fmt.Errorf("%w: %w", ErrUnsure, err)
	}
	return err
}

func (w *writer) attempt(change func() error) error {
	given := w.next
	w.bare = false
	err := w.commit(func() error {
		if err := change(); err != nil || !w.bare {
			return err
		}
		return setLastKey(w.conn, w.next-1)
	})
	if err != nil {
		return err
	}
	if w.bare || w.next > given {
		w.top = w.next - 1
	}
	w.tend()
	return nil
}

// commit runs what do does as one transaction.
func (w *writer) commit(do func() error) error {
	err := run(w.conn, "BEGIN IMMEDIATE")
	if err == nil {
		err = do()
	}
	if err == nil {
		if err = run(w.conn, "COMMIT"); err != nil {
			w.doubt(err)
		}
	}
	if err != nil && !w.conn.AutoCommit() { // SQLite ends the transaction by itself on some errors
		err = errors.Join(err, run(w.conn, "ROLLBACK"))
	}
	return err
}
