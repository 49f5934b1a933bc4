package store

import (
	"errors"
	"fmt"
	"os"
)

// ErrMoved is that of a file that another has taken the place of, or none.
var ErrMoved = errors.New("the index file has been removed or replaced while it is in use")

// claim is the file that a session has open. It is locked itself, too, since a file may
// go by several names (hard links, mounts), and the lock beside it by one. SQLite's
// locks on it are of another kind: they end when any descriptor of the file is closed in
// this process, so this one is closed last.
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

// check is an error when the file has no longer the name that it was opened by: what is
// written to it then is lost when it is closed.
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
