// Package whole writes files that get their final names only once they are complete and on disk.
package whole

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write replaces the file at path with what write writes. If it fails or the process dies, the old
// file is intact; a crash may leave a file NAME.NUMBER.vicreg.tmp beside it, which the next Write
// removes. Concurrent writes to one path do not mix: the last to finish wins. If path is Direct, the
// output goes there straight away.
func Write(path string, write func(io.Writer) error) error {
	if Direct(path) {
		return named(path, direct(path, write))
	}
	return named(path, file(path, write))
}

// named adds to an error the file it is about.
func named(path string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// file is Write for a path that is not Direct.
func file(path string, write func(io.Writer) error) error {
	sweep(path)
	var f *os.File
	lock, err := temporary(func() (name string, err error) {
		if f != nil {
			f.Close() // the one before was swept
		}
		if f, err = os.CreateTemp(filepath.Dir(path), pattern(path)); err != nil {
			return "", err
		}
		return f.Name(), nil
	}, os.O_RDWR)
	if err != nil {
		f.Close()
		return err
	}
	defer lock.Close() // not before the file has its final name
	return Through(path, func() (File, string, error) { return f, f.Name(), nil }, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		if err := write(b); err != nil {
			return err
		}
		return errors.Join(b.Flush(), f.Chmod(0o644))
	})
}

// File is the part of *os.File that a write needs.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// Through is Write via a temporary file beside path, which create opens and whose name it returns.
// The temporary file is gone afterwards, even if create returns both an error and a name. The
// output of write is not buffered.
func Through(path string, create func() (f File, name string, err error), write func(io.Writer) error) error {
	f, name, err := create()
	if err == nil {
		if err = write(f); err == nil {
			err = f.Sync() // a full disk may only be reported here
		}
		err = errors.Join(err, f.Close())
	}
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		if name != "" {
			err = errors.Join(err, os.RemoveAll(name))
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

// WriteFile is Write for a byte slice.
func WriteFile(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// syncDir makes the rename survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
