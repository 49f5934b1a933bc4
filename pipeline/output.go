package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// checkOutput is an error when a command must not write to path, which the user gave
// with a flag: there is no folder for it, what is there is no file, is one of a
// training run or, under whatever name, one of those to spare, which need not be
// there; or it is there at all and there is no force. A pipe, a device of characters or
// /dev/stdout, which nothing is lost by writing to, may be there.
func checkOutput(flag, path string, force bool, spared ...string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return usage.Errorf("%s %s: %s is not a folder", flag, path, filepath.Dir(path))
	}
	if whole.Direct(path) {
		return nil
	}
	if ofRun(path) {
		return usage.Errorf("%s %s is a file of a training run: give another name", flag, path)
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
		return usage.Errorf("%s %s: %w", flag, path, err)
	case info.IsDir():
		return usage.Errorf("%s %s is a folder", flag, path)
	case !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return usage.Errorf("%s %s is there and no file", flag, path)
	}
	for _, in := range spared {
		if other, err := os.Stat(in); err == nil && os.SameFile(info, other) {
			return usage.Errorf("%s %s is %s, which must stay: give another name", flag, path, in)
		}
	}
	if !force {
		return usage.Errorf("%s exists; --force writes over it", path)
	}
	return nil
}

// spareImages is an error when path, under whatever name, is a file of a data set. It
// may look at each of them, but only where there is something at path.
func spareImages(flag, path string, set *dataset.Set) error {
	info, err := os.Stat(path)
	if err != nil || !set.Has(info) {
		return nil
	}
	return usage.Errorf("%s %s is a file of the data set %s: give another name", flag, path, set.Source())
}

// ofRun says that path, with links followed, has the name of a file that training
// writes, in a folder that holds a run.
func ofRun(path string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if !isRunFile(filepath.Base(path)) {
		return false
	}
	checkpoints, err := checkpoint.Files(filepath.Dir(path))
	return err == nil && len(checkpoints) > 0
}
