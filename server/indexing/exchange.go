package indexing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// exchange moves the file name and those beside it, with these endings, from one folder
// to another of the same disk, over what is there. Old and new ones are never there
// together: the old file goes first, and the new one comes last. After a failure what was
// there is back; where even that fails, NAME.old in the first folder is left.
func exchange(from, to, name string, sides []string) (err error) {
	var undo []func() error
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	move := func(a, b string) error {
		if err := os.Rename(a, b); err != nil {
			return err
		}
		undo = append(undo, func() error { return os.Rename(b, a) })
		return nil
	}
	all := append([]string{""}, sides...)
	for _, side := range all {
		old := filepath.Join(to, name+side)
		if err := move(old, filepath.Join(from, name+side+".old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for i := range all {
		side := all[len(all)-1-i]
		if err := move(filepath.Join(from, name+side), filepath.Join(to, name+side)); err != nil {
			return err
		}
	}
	return nil
}
