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

// Backup writes a copy of the index as it is at one moment, while others go on reading
// and writing. The copy is complete and on the disk when it appears at path, where
// nothing may be yet: fs.ErrExist. The log of another file of that name is an error, too.
func (s *Store) Backup(ctx context.Context, path string) error {
	s.long.RLock()
	defer s.long.RUnlock()
	if s.session == nil {
		return explain("back up index", s.path, s.closed)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("back up index to %s: %w", path, fs.ErrExist)
	}
	if err := orphaned(path); err != nil {
		return explain("back up index to", path, err)
	}
	draft, err := s.copy(ctx, path)
	if err != nil {
		return explain("back up index to", path, err)
	}
	return explain("back up index to", path, publish(draft, path))
}

// Compact writes the index anew without the room that removed rows have left, and puts
// that in place as Replace does. Changes wait meanwhile.
func (s *Store) Compact(ctx context.Context) error {
	return s.alone(ctx, "compact index", func() error {
		draft, err := s.copy(ctx, s.path)
		if err != nil {
			return err
		}
		moved, err := s.swap(ctx, draft)
		if !moved {
			os.Remove(draft)
		}
		return err
	})
}

// copy writes a copy of the file beside path, and all of it on the disk.
func (s *Store) copy(ctx context.Context, path string) (draft string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	info, err := os.Stat(s.path)
	if err != nil {
		return "", err
	}
	if err := f.Chmod(info.Mode().Perm()); err != nil {
		return "", err
	}
	if err := s.vacuum(ctx, f.Name()); err != nil {
		return "", err
	}
	return f.Name(), errors.Join(ctx.Err(), f.Sync())
}

// vacuum writes a copy into an empty file, on a connection of its own: it may take
// long.
func (s *Store) vacuum(ctx context.Context, path string) (err error) {
	how := s.reads.how
	how.settings = careful // query_only would keep SQLite from it
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

// publish gives a draft its name, unless somebody has it by now. Where the file system
// has no links, that is not noticed.
func publish(draft, path string) error {
	err := os.Link(draft, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return errors.Join(err, os.Remove(draft), syncFolder(path))
	}
	return move(draft, path)
}
