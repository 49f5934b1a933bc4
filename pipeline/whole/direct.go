package whole

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Direct reports whether path must be written to directly instead of being replaced by rename: a
// pipe, a character device, or a name for a descriptor that this process has open, such as
// /dev/stdout or what a shell makes of >(sort), even if that is a regular file.
func Direct(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	_, open := descriptor(path)
	return open || info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0
}

// descriptor returns the file descriptor that a path names.
func descriptor(path string) (fd int, ok bool) {
	switch path = filepath.Clean(path); path {
	case "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, folder := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, is := strings.CutPrefix(path, folder); is {
			fd, err := strconv.Atoi(number)
			return fd, err == nil && fd >= 0
		}
	}
	return 0, false
}

// direct is Write for a path that is Direct.
func direct(path string, write func(io.Writer) error) error {
	f, err := openDirect(path)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(f)
	if err = write(b); err == nil {
		err = b.Flush()
	}
	return errors.Join(err, f.Close())
}

// openDirect duplicates an open descriptor, because reopening a regular file would overwrite it
// from the start.
func openDirect(path string) (*os.File, error) {
	fd, ok := descriptor(path)
	if !ok {
		return os.OpenFile(path, os.O_WRONLY, 0)
	}
	own, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(own)
	return os.NewFile(uintptr(own), path), nil
}
