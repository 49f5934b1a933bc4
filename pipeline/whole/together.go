package whole

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Part is one of several files that belong together.
type Part struct {
	Ending string // of its name, behind that of the first file, whose own is empty
	Write  func(io.Writer) error
}

// Together is Write of files that are of no use without each other, or with older ones
// in their places: the first has the name path, the others that with their endings. All
// are made in a folder NAME.*.tmp beside path before the first takes its place. When one
// cannot be made or put there, what was there is as it was. Where the process dies,
// path is there only if all are, old or new; what was there may be in that folder then,
// as NAME.old. What is Direct is written when all else is made.
func Together(path string, parts ...Part) (err error) {
	folder, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	made := filepath.Join(folder, filepath.Base(path))
	var endings []string
	var pipes []Part
	for _, p := range parts {
		switch {
		case err != nil:
		case Direct(path + p.Ending):
			pipes = append(pipes, p)
		default:
			endings = append(endings, p.Ending)
			err = named(path+p.Ending, file(made+p.Ending, p.Write))
		}
	}
	for _, p := range pipes {
		if err == nil {
			err = Write(path+p.Ending, p.Write)
		}
	}
	if err == nil {
		err = named(path, exchange(folder, filepath.Dir(path), filepath.Base(path), endings))
	}
	if err != nil && keeps(made, endings) {
		return fmt.Errorf("%w; what was there is in %s", err, folder)
	}
	return errors.Join(err, os.RemoveAll(folder))
}

// keeps says that something which could not be put back is left.
func keeps(made string, endings []string) bool {
	for _, ending := range endings {
		if _, err := os.Lstat(made + ending + old); err == nil {
			return true
		}
	}
	return false
}

// old is the ending of what makes room.
const old = ".old"

// exchange moves the files of a name with these endings from one folder to another of the
// same disk, over what is there. Old and new ones are never there together: the file
// with the first ending goes first, and comes last. After a failure what was there is
// back; what even that fails for is in the first folder, as NAME.old.
func exchange(from, to, name string, endings []string) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	move := func(a, b string) error {
		if info, err := os.Lstat(a); err != nil {
			return err
		} else if info.IsDir() {
			return fmt.Errorf("%s is a folder", a)
		}
		if err := os.Rename(a, b); err != nil {
			return err
		}
		undo = append(undo, func() error { return os.Rename(b, a) })
		return nil
	}
	for _, ending := range endings {
		err := move(filepath.Join(to, name+ending), filepath.Join(from, name+ending+old))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for i := range endings {
		file := name + endings[len(endings)-1-i]
		if err := move(filepath.Join(from, file), filepath.Join(to, file)); err != nil {
			return err
		}
	}
	return syncDir(to)
}
