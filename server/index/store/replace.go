package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace puts the file of other, which must be in the same folder and which it closes, in place
// of the store's own, and continues with it. New rows get keys that neither store has assigned
// before. A crash at any moment leaves either the old or the new file intact. On error the store
// continues with its old file; other stays open if its log could not be moved into its file, and
// is closed otherwise.
//
// Once the new file has the name, Replace has succeeded, even if the folder cannot be synced, in
// which case a power failure may bring back the old file. Only an error that leaves the store
// without a usable file, old or new, closes it: all of its methods return that error from then
// on.
//
// Other processes that read the old file continue to read it. If one of them is reading from the
// log at the time, the error is ErrInUse.
func (s *Store) Replace(ctx context.Context, other *Store) error {
	if !sameFile(filepath.Dir(other.path), filepath.Dir(s.path)) || sameFile(other.path, s.path) {
		return fmt.Errorf("replace index %s: %s is not another file of the same folder", s.path, other.path)
	}
	return s.alone(ctx, "replace index", func() error {
		if err := other.reserve(ctx, s.writer.next-1); err != nil {
			return err
		}
		if err := other.retire(ctx); err != nil {
			return err
		}
		// Two paths to the same folder may be different mounts to the kernel.
		moved, err := s.swap(ctx, filepath.Join(filepath.Dir(s.path), filepath.Base(other.path)))
		if moved {
			os.Remove(other.path + lockSuffix)
		}
		other.unlock()
		return err
	})
}

// sameFile reports whether two paths lead to the same file or folder.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// alone calls do while nobody else changes the file, or reads it for long.
func (s *Store) alone(ctx context.Context, doing string, do func() error) error {
	s.long.Lock()
	defer s.long.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	err := ctx.Err()
	if s.session == nil {
		err = s.closed
	} else if s.writer == nil {
		err = errReadOnly
	}
	if err == nil {
		err = do()
	}
	return explain(doing, s.path, err)
}

// retire moves the log of a store into its file, which is complete by itself then, and closes the
// connections. The lock is kept.
func (s *Store) retire(ctx context.Context) error {
	return s.alone(ctx, "finish index", func() error {
		if err := s.writer.checkpoint(); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		err := s.disconnect()
		s.session, s.closed = nil, ErrClosed
		return errors.Join(err, dropLog(s.path))
	})
}

// swap puts a complete file in place of the store's, and reports whether it has; the locks of
// alone are held. An error after the rename, or one that closes the store, is about what keeps
// the store from continuing.
func (s *Store) swap(ctx context.Context, file string) (moved bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// SQLite would take a non-empty log for the new file's.
	if err := s.writer.checkpoint(); err != nil {
		return false, err
	}
	next := s.writer.next // a failed change may have used keys that no file records
	err = s.disconnect()
	s.session = nil
	if err == nil {
		err = dropLog(s.path)
	}
	if err == nil {
		err = os.Rename(file, s.path)
		moved = err == nil
	}
	if moved {
		err = settle(s.path)
	}
	if moved && err != nil {
		s.closed = fmt.Errorf("the new file is in place, but so is the log of the old one: %w", err)
		return moved, s.closed
	}
	session, again := s.connect(context.WithoutCancel(ctx))
	if again != nil {
		s.closed = lost(moved, err, again)
		return moved, s.closed
	}
	s.session = session
	s.writer.next = max(s.writer.next, next)
	return moved, err
}

// lost explains why a store is closed whose file could not be reopened.
func lost(moved bool, why, again error) error {
	if moved {
		return fmt.Errorf("the new file is in place, but could not be opened: %w", again)
	}
	return fmt.Errorf("%w, and then it could not be opened again: %w", why, again)
}

// settle completes the replacement by a file that has just got its name. SQLite's files beside
// the old one, which a reader may have recreated, would mislead readers of the new one about its
// log, and are removed. Each step is tried twice. The only error is a log that is not empty, as
// it would be taken for the new file's.
func settle(path string) error {
	err := dropBeside(path)
	if err != nil {
		err = dropBeside(path)
	}
	if syncFolder(path) != nil {
		syncFolder(path) // the file is in use from now on, synced or not
	}
	if logSize(path) == 0 {
		return nil
	}
	return err
}
