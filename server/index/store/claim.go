package store

import (
	"errors"
	"fmt"
	"os"
)

// ErrMoved is the error for an open file that has been removed or replaced by another.
var ErrMoved = errors.New("the index file was removed or replaced while in use")

// claim keeps a session's file open. The file itself is locked too, since it may have several
// names (hard links, mounts), and the lock file belongs to only one of them. SQLite's locks on it
// are of another kind: they are released when any descriptor of the file is closed in this
// process, so this one is closed last.
type claim struct {
	f    *os.File
	info os.FileInfo
}

func newClaim(path string) (c *claim, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c = &claim{f: f}
	if c.info, err = f.Stat(); err == nil {
		err = lockItself(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// check returns ErrMoved if path no longer leads to the claimed file: what is written to that
// would be lost when it is closed.
func (c *claim) check(path string) error {
	now, err := os.Stat(path)
	if err == nil && os.SameFile(now, c.info) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMoved, err)
	}
	return ErrMoved
}

func (c *claim) close() error { return c.f.Close() }
