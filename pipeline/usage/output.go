package usage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// CheckOutput returns an Error if a command must not write to path, which the user gave with flag:
// the parent folder does not exist; path is a folder or a special file; it is, possibly under
// another name, one of the spared files (which may be missing); or it exists and force is false.
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
		return Errorf("%s %s exists but is not a regular file", flag, name)
	}
	for _, in := range spared {
		if other, err := os.Stat(in); err == nil && os.SameFile(info, other) {
			return Errorf("%s %s is the same file as %s, which must be kept: give another name", flag, name, Printable(in))
		}
	}
	if !force {
		return Errorf("%s exists; --force overwrites it", name)
	}
	return nil
}
