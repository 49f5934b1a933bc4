package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/mattn/go-sqlite3"
)

// errUnmended is why no change is made for as long as the outcome of an earlier one is unknown.
var errUnmended = errors.New("an earlier change can neither be made nor taken out of the log")

// doubt records that a COMMIT has failed. SQLite writes a transaction to the log, the commit mark
// last, and then syncs the log. If that fails, the transaction is not visible, but all of it is
// in the log, and would be replayed after a crash. Only a write that found no room rules this
// out.
func (w *writer) doubt(err error) {
	e, ok := errors.AsType[sqlite3.Error](err)
	noRoom := ok && isFull(err) && (e.Code == sqlite3.ErrFull || e.ExtendedCode == sqlite3.ErrIoErrWrite)
	w.unsure = w.unsure || !noRoom
}

// mend makes sure that a change whose COMMIT has failed does not come into effect later. The next
// transaction begins where the failed one did, and every frame of the log has the checksum of all
// frames before it: a transaction of a single page that changes no content invalidates the rest
// of the failed one, of whatever length.
//
// Its page is the file's first. If the failed change has begun with that page, too, the frames
// still differ: only the last frame of a transaction has the commit mark, and a change always
// writes other pages as well.
func (w *writer) mend() error {
	if !w.unsure {
		return nil
	}
	if err := w.commit(func() error { return run(w.conn, setVersion) }); err != nil {
		return err
	}
	w.unsure = false
	return nil
}

// setVersion writes a page without changing anything.
var setVersion = fmt.Sprintf("PRAGMA user_version = %d", version)

// emptied records that the log has no frames any more, once that is on the disk.
func (w *writer) emptied() error {
	if !w.unsure {
		return nil
	}
	if err := syncFile(w.path + walSuffix); err != nil {
		return err
	}
	w.unsure = false
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
