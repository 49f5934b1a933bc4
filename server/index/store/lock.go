package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockSuffix names the lock file, whose lock determines the owner of an index. Locks on the
// database itself are SQLite's; the lock file also outlives replacement of the database.
const lockSuffix = ".lock"

// lock makes this process the owner of an index until the returned file is closed or the process
// ends.
func lock(path string) (*os.File, error) {
	f, err := lockFile(path + lockSuffix)
	if errors.Is(err, ErrInUse) {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	return f, explain("lock index", path, err)
}

// lockFile creates and locks a file, and writes the process id of the holder to it; for other
// processes the error is ErrInUse. The holder may remove the file, so a lock counts only while
// its file is still the one of that name.
func lockFile(name string) (f *os.File, err error) {
	for {
		f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w%s", ErrInUse, holder(f))
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		if isAt(f, name) {
			break
		}
		f.Close()
	}
	// For information only: a full disk is no reason not to open.
	if f.Truncate(0) == nil {
		f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return f, nil
}

// isAt reports whether an open file is still the one called name; true if that cannot be
// determined.
func isAt(f *os.File, name string) bool {
	mine, err := f.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(name)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(mine, there)
}

// holder names the process that holds the lock, if it is known.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 20))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

func (s *Store) unlock() {
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}
