package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// Errors that callers distinguish.
var (
	ErrInUse   = errors.New("another process has the index open")
	ErrDamaged = errors.New("the index file is damaged")
	ErrNewer   = errors.New("a newer version of the program has written the index")
	ErrForeign = errors.New("not a vicreg index")
	ErrFull    = errors.New("the disk is full")
	ErrClosed  = errors.New("the index is closed")

	// ErrUnsure is the error of a change that was written to the log but perhaps not to the disk,
	// and could not be removed from the log. It is not in effect until the store is next opened;
	// from then on it may be, unless another change has been made before.
	ErrUnsure = errors.New("the change is not made, but may be when the index is opened again: it could not be taken out of the log")

	// ErrUnfinished is the error for a reader of a file that a Restore is replacing.
	ErrUnfinished = errors.New("a backup is being restored to it, or that was interrupted: vicreg index restore, given again, completes it")
)

// known are the errors that need no translation.
var known = []error{ErrInUse, ErrDamaged, ErrNewer, ErrForeign, ErrFull, ErrClosed, ErrUnsure, ErrUnfinished, ErrMoved, fs.ErrNotExist, fs.ErrPermission, context.Canceled, context.DeadlineExceeded}

// explain adds what was being done to which file and, for an error of SQLite or the operating
// system, the known error that it amounts to. nil stays nil.
func explain(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	if meaning := meaning(err); meaning != nil {
		return fmt.Errorf("%s %s: %w (%v)", doing, path, meaning, err)
	}
	return fmt.Errorf("%s %s: %w", doing, path, err)
}

// meaning returns the known error that err amounts to; nil if err already is one, or there is
// none.
func meaning(err error) error {
	for _, k := range known {
		if errors.Is(err, k) {
			return nil
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrFull
	}
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return nil
	}
	switch {
	case e.Code == sqlite3.ErrFull, e.SystemErrno == syscall.ENOSPC, e.SystemErrno == syscall.EDQUOT:
		return ErrFull
	case e.Code == sqlite3.ErrBusy, e.Code == sqlite3.ErrLocked:
		return ErrInUse
	case e.Code == sqlite3.ErrNotADB:
		return ErrForeign
	case e.Code == sqlite3.ErrReadonly, e.Code == sqlite3.ErrPerm, e.SystemErrno == syscall.EACCES, e.SystemErrno == syscall.EPERM, e.SystemErrno == syscall.EROFS:
		return fs.ErrPermission
	case e.Code == sqlite3.ErrError: // the statements match the tables of any intact index
		return ErrDamaged
	case e.Code == sqlite3.ErrCorrupt, e.ExtendedCode == sqlite3.ErrIoErrShortRead:
		return ErrDamaged
	}
	return nil
}

// isFull reports whether an error is due to a full disk.
func isFull(err error) bool {
	return errors.Is(err, ErrFull) || meaning(err) == ErrFull
}
