package store

import (
	"errors"
	"os"
	"syscall"
)

// setLock sets a lock that belongs to the open file, not to the process: F_OFD_SETLK.
const setLock = 37

// lockItself locks a file until it is closed.
func lockItself(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
