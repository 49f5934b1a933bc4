package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Suffixes of SQLite's files beside a file in use: the write-ahead log, its shared-memory index,
// and the rollback journal that is used while the settings of a new file are made.
const (
	walSuffix     = "-wal"
	shmSuffix     = "-shm"
	journalSuffix = "-journal"
)

// resolve returns the path of the file itself, since the lock and the log lie beside that. For a
// missing file it is the path at which the file would be created, with links followed.
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
	if err != nil { // not a link
		return real, nil
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(folder, target)
	}
	return resolve(target)
}

// Path returns the path of the file itself: absolute, and without symbolic links.
func (s *Store) Path() string { return s.path }

// orphaned rejects leftovers that SQLite would take for a part of a file yet to be created.
func orphaned(path string) error {
	for _, suffix := range []string{walSuffix, journalSuffix} {
		if info, err := os.Lstat(path + suffix); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s is left over from an index file that no longer exists, and may hold items worth saving: restore that file, or move this one away", path+suffix)
		}
	}
	return nil
}

// dropLog removes SQLite's files beside a file, provided that its log is empty.
func dropLog(path string) error {
	if logSize(path) > 0 {
		return fmt.Errorf("%w: its log is not empty", ErrInUse)
	}
	return dropBeside(path)
}

// dropBeside removes SQLite's files beside a file, whatever they contain.
func dropBeside(path string) error {
	return drop(path+walSuffix, path+shmSuffix, path+journalSuffix)
}

// drop removes files; missing ones are no error.
func drop(paths ...string) (err error) {
	for _, p := range paths {
		if e := os.Remove(p); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Remove removes the index file at path with everything beside it: its log, its lock file and
// unfinished drafts. A missing file is no error, and neither is a log without its file. While
// another process owns the index, the error is ErrInUse; processes that only read it continue
// with what they have open. For a symbolic link the target is removed, not the link.
func Remove(path string) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("remove index %s: %w: not a regular file", path, ErrForeign)
	}
	owner, err := lock(path)
	if errors.Is(err, fs.ErrNotExist) { // not even the folder exists
		return nil
	}
	if err != nil {
		return err
	}
	defer owner.Close()
	if err := finishRestore(path); err != nil { // it would otherwise bring the index back
		return explain("remove index", path, err)
	}
	return explain("remove index", path, removeFiles(path))
}

// removeFiles removes an index whose lock is held. The file is removed durably before its log: a
// file without its log would be an older state, while a log without its file is rejected.
func removeFiles(path string) error {
	if err := drop(path); err != nil {
		return err
	}
	if err := syncFolder(path); err != nil {
		return err
	}
	return errors.Join(dropBeside(path), dropDrafts(path), drop(path+lockSuffix))
}

// dropDrafts removes what an owner of the index left unfinished.
func dropDrafts(path string) error {
	var all []string
	for _, draft := range []string{newDraft(path), compactDraft(path), restoreDraft(path)} {
		all = append(all, draft, draft+journalSuffix)
	}
	return drop(all...)
}
