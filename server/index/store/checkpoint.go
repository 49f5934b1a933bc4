package store

import (
	"errors"
	"fmt"
	"os"
)

// checkpoint moves the log into the file and truncates it. It fails with ErrInUse while others
// are reading from the log.
func (w *writer) checkpoint() error {
	busy, _, err := w.walCheckpoint("TRUNCATE")
	if err == nil && busy {
		err = fmt.Errorf("%w: it is reading", ErrInUse)
	}
	if err == nil {
		err = w.emptied()
	}
	return err
}

// walCheckpoint runs SQLite's checkpoint of a kind. It reports whether others have kept it from
// completing, and the number of pages in the log.
func (w *writer) walCheckpoint(kind string) (busy bool, pages int64, err error) {
	row, err := first(w.conn, "PRAGMA wal_checkpoint("+kind+")")
	if err != nil || len(row) < 2 {
		return false, 0, err
	}
	pages, _ = row[1].(int64)
	return row[0] != any(int64(0)), pages, nil
}

// tend keeps the log short after a change that is on the disk already, and reports what fails.
func (w *writer) tend() {
	var err error
	switch size := logSize(w.path); {
	case size > w.limit:
		err = w.drain(size)
	case size > autoPages*pageSize:
		err = w.advance()
	}
	w.report(err)
}

// drain empties a log that has grown too long because there was a reader whenever it could have
// been restarted. It waits for current readers, which may take long: if that fails, it is tried
// again when the log is twice as long.
func (w *writer) drain(size int64) error {
	w.limit = 2 * size
	err := w.checkpoint()
	if err == nil {
		w.limit = w.usual
	}
	return err
}

// advance moves what no reader needs from a long log into the file, so that the log starts anew
// as soon as there is no reader. SQLite would do the same by itself, but ignores errors, even
// those of a disk that fails. The log's own length does not tell how much of it is in use: it is
// overwritten from its beginning.
func (w *writer) advance() error {
	_, pages, err := w.walCheckpoint("NOOP")
	if err == nil && pages >= autoPages {
		_, _, err = w.walCheckpoint("PASSIVE")
	}
	return err
}

// report passes on the error of a checkpoint, unless a reader is the reason.
func (w *writer) report(err error) {
	if err == nil || errors.Is(err, ErrInUse) || meaning(err) == ErrInUse || w.failed == nil {
		return
	}
	w.failed(explain("move the log into index", w.path, err))
}

// reclaim returns the space of the log to the disk, and reports whether it could.
func (w *writer) reclaim() bool {
	err := w.checkpoint()
	w.report(err)
	w.full = err != nil
	return !w.full
}

func logSize(path string) int64 {
	info, err := os.Stat(path + walSuffix)
	if err != nil {
		return 0
	}
	return info.Size()
}
