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
	Ending string // appended to the first file's name; the first part's is empty
	Write  func(io.Writer) error
}

// Together is Write for files that are useless without each other or beside older versions: the
// first is named path, the others path plus their endings. All are written into a folder
// NAME.NUMBER.vicreg.tmp beside path before the first is moved into place. If writing or moving one
// fails, the old files are restored. If the process dies, path exists only if the whole set does,
// old or new; the old files may then be in that folder as NAME.old. The next call removes a folder
// left without such files. Paths that are Direct are written after all the
// files and before any is moved.
func Together(path string, parts ...Part) (err error) {
	sweep(path)
	var folder string
	lock, err := temporary(func() (string, error) {
		folder, err = os.MkdirTemp(filepath.Dir(path), pattern(path))
		return folder, err
	}, os.O_RDONLY)
	if err != nil {
		return named(path, err)
	}
	defer lock.Close()
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
		return fmt.Errorf("%w; the previous files are in %s", err, folder)
	}
	return errors.Join(err, os.RemoveAll(folder))
}

// keeps reports whether an old file is left that could not be put back.
func keeps(made string, endings []string) bool {
	for _, ending := range endings {
		if _, err := os.Lstat(made + ending + old); err == nil {
			return true
		}
	}
	return false
}

// old is appended to the names of files moved out of the way.
const old = ".old"

// exchange moves the files of a name with these endings from one folder to another on the same
// disk, replacing what is there. Old and new files never coexist in the target: the file with the
// first ending is the first to leave and the last to arrive. On failure the old files are moved
// back; one for which even that fails stays in the first folder as NAME.old.
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
