package store

import (
	"errors"
	"os"
	"syscall"
)

// lockItself locks a file until it is closed.
func lockItself(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
