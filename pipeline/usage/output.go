package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckOutput is an Error when a command must not write to path, which the user gave
// with a flag: there is no folder for it, what is there is no file or, under whatever
// name, one of those to spare, which need not be there; or it is there at all and there
// is no force.
func CheckOutput(flag, path string, force bool, spared ...string) error {
	name := Printable(path)
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return Errorf("%s %s: %s is not a folder", flag, name, Printable(filepath.Dir(path)))
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if behind, err := os.Stat(path); err == nil {
		info = behind
	}
	switch {
	case err != nil:
		return Errorf("%s %s: %w", flag, name, err)
	case info.IsDir():
		return Errorf("%s %s is a folder", flag, name)
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return Errorf("%s %s is there and no file", flag, name)
	}
	for _, in := range spared {
		if other, err := os.Stat(in); err == nil && os.SameFile(info, other) {
			return Errorf("%s %s is %s, which must stay: give another name", flag, name, Printable(in))
		}
	}
	if !force {
		return Errorf("%s exists; --force writes over it", name)
	}
	return nil
}
