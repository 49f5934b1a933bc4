package pipeline

import (
	"os"
	"path/filepath"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// checkOutput is usage.CheckOutput for commands that must not overwrite a file of a training run
// either, and that may write to a pipe, a character device or /dev/stdout, where nothing is lost.
func checkOutput(flag, path string, force bool, spared ...string) error {
	if path == "-" {
		return usage.Errorf("%s -: give the name of a file, or /dev/stdout", flag)
	}
	if ofRun(path) {
		return usage.Errorf("%s %s is a file of a training run: give another name", flag, path)
	}
	if whole.Direct(path) {
		return nil
	}
	return usage.CheckOutput(flag, path, force, spared...)
}

// spareImages returns an error if path, under whatever name, is a file of a data set. It may stat
// all of them, but only if path exists.
func spareImages(flag, path string, set *dataset.Set) error {
	info, err := os.Stat(path)
	if err != nil || !set.Has(info) {
		return nil
	}
	return usage.Errorf("%s %s is a file of the data set %s: give another name", flag, path, set.Source())
}

// ofRun reports whether path, with symlinks resolved, has the name of a file that training writes
// and is in a folder that holds a run.
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
