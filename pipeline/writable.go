package pipeline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"vicreg/pipeline/usage"
)

// canWrite returns an error if the folder of a new run cannot be made or written to, as far as that
// shows without making it: the model that comes first takes a while to build.
func (t *trainFlags) canWrite() error {
	if !t.leads() {
		return nil
	}
	dir := filepath.Clean(t.out)
	for {
		_, err := os.Lstat(dir)
		if err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR); !missing || parent == dir {
			return usage.Errorf("--out %s: %w", t.out, err)
		}
		dir = parent
	}
	const writeAndSearch = 2 | 1
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir() && dir == filepath.Clean(t.out):
		return usage.Errorf("--out %s: not a folder", t.out)
	case err == nil && !info.IsDir():
		return usage.Errorf("--out %s: %s is not a folder", t.out, dir)
	case err == nil:
		err = syscall.Access(dir, writeAndSearch)
	}
	if err != nil {
		return usage.Errorf("--out %s: no folder can be written in %s: %w", t.out, dir, err)
	}
	return nil
}
