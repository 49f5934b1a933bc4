package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockSuffix names the file whose lock says who owns an index. Locks on the database
// itself are SQLite's; this one file stays when the database is replaced.
const lockSuffix = ".lock"

// lock makes this process the owner of an index until the returned file is closed, or
// the process ends in whatever way. The file holds the owner's process id.
func lock(path string) (f *os.File, err error) {
	f, err = os.OpenFile(path+lockSuffix, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, explain("lock index", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("open index %s: %w%s", path, ErrInUse, holder(f))
	}
	if err != nil {
		return nil, explain("lock index", path, err)
	}
	// Only a help for people: a full disk is no reason not to open.
	if f.Truncate(0) == nil {
		f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return f, nil
}

// holder names the process that has the lock, if it can be known.
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
