package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/usage"
)

// claim locks the run's folder for the leading process until release. It comes before anything in
// the folder is read: a run that ends while this process still indexes images would leave newer
// checkpoints, and they would be lost. A folder that does not exist is not made yet, so that a
// refused run leaves none.
func (t *trainFlags) claim() (err error) {
	if !t.leads() {
		return nil
	}
	if t.folder, err = claimFolder(t.out); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		t.found, err = checkpoint.Files(t.out)
	}
	return err
}

// claimed makes sure that the folder exists, is locked and is as claim found it. Where the file
// system has no locks, or there was no folder to lock, another process may have trained meanwhile.
func (t *trainFlags) claimed() (err error) {
	if t.folder == nil {
		if err := os.MkdirAll(t.out, 0o777); err != nil {
			return fmt.Errorf("make the folder of the run: %w", err)
		}
		if t.folder, err = claimFolder(t.out); err != nil {
			return err
		}
	}
	now, err := checkpoint.Files(t.out)
	if err == nil && !slices.Equal(now, t.found) {
		err = usage.Errorf("another vicreg train has written checkpoints into %s since this one started: start again", t.out)
	}
	return err
}

// release lets other processes claim the folder.
func (t *trainFlags) release() {
	if t.folder != nil {
		t.folder.Close()
	}
}

// claimFolder locks out other processes until the returned file is closed or this process ends,
// however it ends.
func claimFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, usage.Errorf("--out %s: not a folder", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the folder of the run: %w", err)
	}
	// Only a lock held by another process is a reason to stop: some network file systems do not
	// support locks.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, usage.Errorf("another vicreg train is running in %s", dir)
	}
	return f, nil
}

// checkFolder rejects a folder that already holds a run, for a new run without --force.
func (t *trainFlags) checkFolder() error {
	if !t.leads() || t.force {
		return nil
	}
	// A run that died before its first checkpoint leaves at most an empty file.
	metrics, err := os.Stat(filepath.Join(t.out, metricsFile))
	if len(t.found) > 0 || err == nil && metrics.Size() > 0 {
		return usage.Errorf("%s already holds a run; --resume continues it, --force starts over", t.out)
	}
	return nil
}
