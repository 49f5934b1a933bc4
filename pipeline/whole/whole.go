// Package whole writes files that appear under their names only when they are
// complete and on the disk.
package whole

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Write makes the file at path from what write writes to it, over what is there.
// When it fails, or the process dies in the middle, what was there is as it was;
// a death may leave a file NAME.*.tmp beside it. Two at once on one path do not
// mix: the last one to end wins. Where path is Direct, what is written goes there at once.
func Write(path string, write func(io.Writer) error) error {
	if Direct(path) {
		return named(path, direct(path, write))
	}
	return named(path, file(path, write))
}

// named says of an error which file it is about.
func named(path string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// file is Write for a path that is not Direct.
func file(path string, write func(io.Writer) error) error {
	var f *os.File
	return Through(path, func() (File, string, error) {
		made, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
		if err != nil {
			return nil, "", err
		}
		f = made
		return f, f.Name(), nil
	}, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		if err := write(b); err != nil {
			return err
		}
		return errors.Join(b.Flush(), f.Chmod(0o644))
	})
}

// File is what a write needs of *os.File.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// Through is Write by way of a file that create opens, and whose name it returns,
// beside path. It is gone afterwards, even if create returns an error with the name.
// What write writes is not buffered.
func Through(path string, create func() (f File, name string, err error), write func(io.Writer) error) error {
	f, name, err := create()
	if err == nil {
		if err = write(f); err == nil {
			err = f.Sync() // a full disk may show only now
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

// WriteFile is Write of bytes.
func WriteFile(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// syncDir makes the new name last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
