package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What SQLite has beside a file that is in use: the log, the order of what is in it,
// and what it takes back with when the settings of a new file are made.
const (
	walSuffix     = "-wal"
	shmSuffix     = "-shm"
	journalSuffix = "-journal"
)

// resolve names the file itself, since the lock and the log lie beside it. A missing
// file is named as it will be once it is there, also at the end of a link.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("open index %s: %w", path, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return resolveMissing(abs)
	}
	if err != nil {
		return "", fmt.Errorf("open index %s: %w", path, err)
	}
	return real, nil
}

func resolveMissing(path string) (string, error) {
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("open index %s: %w", path, err)
	}
	real := filepath.Join(folder, filepath.Base(path))
	target, err := os.Readlink(real)
	if err != nil { // it is no link
		return real, nil
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(folder, target)
	}
	return resolve(target)
}

// Path is the file itself: absolute, and without symbolic links.
func (s *Store) Path() string { return s.path }

// orphaned refuses what SQLite would take for a part of a file that is not there yet.
func orphaned(path string) error {
	for _, suffix := range []string{walSuffix, journalSuffix} {
		if info, err := os.Lstat(path + suffix); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s is left of an index file that is gone, and may hold items worth saving: put that file back, or move this one away", path+suffix)
		}
	}
	return nil
}

// dropLog removes what SQLite has beside a file that is in use, if there is nothing in
// it that the file has not.
func dropLog(path string) error {
	if logSize(path) > 0 {
		return fmt.Errorf("%w: its log is not empty", ErrInUse)
	}
	return dropBeside(path)
}

// dropBeside removes what SQLite has beside a file, whatever is in it.
func dropBeside(path string) error {
	return drop(path+walSuffix, path+shmSuffix, path+journalSuffix)
}

// drop removes files, which may be missing.
func drop(paths ...string) (err error) {
	for _, p := range paths {
		if e := os.Remove(p); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Remove removes the index file at path, with all that lies beside it: its log, its
// lock, and what was left half made. Nothing there is no error, and neither is a log
// without its file. While another process owns the index, the error is ErrInUse;
// processes that only read it go on with what they have. Of a symbolic link the target
// is removed, not the link.
func Remove(path string) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("remove index %s: %w: it is no regular file", path, ErrForeign)
	}
	owner, err := lock(path)
	if errors.Is(err, fs.ErrNotExist) { // not even the folder is there
		return nil
	}
	if err != nil {
		return err
	}
	defer owner.Close()
	return explain("remove index", path, removeFiles(path))
}

// removeFiles removes an index whose lock is held. The file goes first and for good: without
// its log it would be an older one, while a log without its file is refused.
func removeFiles(path string) error {
	if err := drop(path); err != nil {
		return err
	}
	if err := syncFolder(path); err != nil {
		return err
	}
	return errors.Join(dropBeside(path), dropDrafts(path), drop(path+lockSuffix))
}

// dropDrafts removes what the owner of an index has begun to write and not ended.
func dropDrafts(path string) error {
	draft, compact := newDraft(path), compactDraft(path)
	return drop(draft, draft+journalSuffix, compact, compact+journalSuffix)
}
