package pipeline

import (
	"os"
	"path/filepath"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// checkOutput is usage.CheckOutput for commands that a file of a training run is also
// out of bounds for, and that may write to a pipe, a device of characters or /dev/stdout,
// by which nothing is lost.
func checkOutput(flag, path string, force bool, spared ...string) error {
	if ofRun(path) {
		return usage.Errorf("%s %s is a file of a training run: give another name", flag, path)
	}
	if whole.Direct(path) {
		return nil
	}
	return usage.CheckOutput(flag, path, force, spared...)
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
