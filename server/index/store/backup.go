package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// compactDraft is where Compact writes. Only the owner of path uses it; Open removes what a crash
// leaves there.
func compactDraft(path string) string { return hidden(path, ".compact") }

// backupDraft is where Backup writes, while it holds the lock of that name.
func backupDraft(path string) string { return hidden(path, ".backup") }

func hidden(path, suffix string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+suffix)
}

// Backup writes a copy of the index as of one moment to path, while others continue to read and
// write. The copy is complete and on the disk when it appears at path, which must not exist:
// fs.ErrExist. A leftover log of another file of that name is an error too, and so is a
// concurrent backup to the same path, or an unfinished restore, which would replace the copy:
// ErrUnfinished. A partial copy left by a crash is removed.
func (s *Store) Backup(ctx context.Context, path string) error {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return explain("back up index", s.path, s.closed)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up index to %s: %w", path, fs.ErrExist)
	}
	return explain("back up index to", path, s.backup(ctx, path))
}

func (s *Store) backup(ctx context.Context, path string) error {
	if unfinished(path) {
		return fmt.Errorf("%w; to give it up, remove %s", ErrUnfinished, restored(path))
	}
	if err := orphaned(path); err != nil {
		return err
	}
	draft := backupDraft(path)
	mine, err := lockFile(draft + lockSuffix)
	if errors.Is(err, ErrInUse) {
		return errors.New("another backup to this file is in progress")
	}
	if err != nil {
		return err
	}
	defer mine.Close()
	defer os.Remove(draft + lockSuffix)
	if err := s.copy(ctx, draft); err != nil {
		return err
	}
	defer os.Remove(draft) // in case it could not be published
	return publish(draft, path)
}

// Compact rewrites the index without the space of removed rows, and puts the copy in place as
// Replace does. Changes wait meanwhile.
func (s *Store) Compact(ctx context.Context) error {
	return s.alone(ctx, "compact index", func() error {
		draft := compactDraft(s.path)
		if err := s.copy(ctx, draft); err != nil {
			return err
		}
		moved, err := s.swap(ctx, draft)
		if !moved {
			os.Remove(draft)
		}
		return err
	})
}

// copy writes a copy of the file to a draft that nobody else writes to, and syncs it. An earlier
// draft is removed first, with its journal, which would be rolled back into the new one.
func (s *Store) copy(ctx context.Context, draft string) (err error) {
	if err := drop(draft, draft+journalSuffix); err != nil {
		return err
	}
	f, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			drop(draft, draft+journalSuffix) // best effort: the next copy tries again
		}
	}()
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if err := f.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if err := s.vacuum(ctx, draft); err != nil {
		return err
	}
	return errors.Join(ctx.Err(), f.Sync())
}

// vacuum writes a copy into an empty file, on a separate connection since it may take long.
func (s *Store) vacuum(ctx context.Context, path string) (err error) {
	how := s.reads.how
	how.settings = careful // query_only would forbid VACUUM INTO
	c, err := how.connect(s.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, "VACUUM INTO ?", named([]driver.Value{path}))
	return err
}

// publish renames a draft to path, unless that exists by now. On a file system without hard links
// an existing file is overwritten.
func publish(draft, path string) error {
	err := os.Link(draft, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return errors.Join(err, os.Remove(draft), syncFolder(path))
	}
	return move(draft, path)
}
