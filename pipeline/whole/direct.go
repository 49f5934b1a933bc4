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

// Direct says that path is no place for a file, and is written to as it is: a pipe, a
// device of characters, or a name for what this process has open already, such as
// /dev/stdout or what a shell makes of >(sort), even if that is a file.
func Direct(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	_, open := descriptor(path)
	return open || info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0
}

// descriptor is the number that a path stands for.
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

// direct is Write for such a path.
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

// openDirect shares what is open, for a file that was opened once more would be written
// over from its beginning.
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
