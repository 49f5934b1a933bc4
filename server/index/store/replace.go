package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace puts the file of other, which lies in the same folder and is closed by this,
// in place of the store's own, and goes on with it. New rows get keys that neither of
// them has given before. A crash at any moment leaves the old file or the new one
// whole. With an error the store goes on with what it had; other is still open if its
// log could not be moved into its file, else closed.
//
// Once the new file has the name, Replace has succeeded, even where the folder cannot
// be synced: then a power cut may bring back the old file. Only what keeps the store
// from going on with a file at all, old or new, is an error that closes it: all of its
// methods return that one from then on.
//
// Processes that read the old file beside its owner go on reading that. While one is
// just reading from the log, the error is ErrInUse.
func (s *Store) Replace(ctx context.Context, other *Store) error {
	if !sameFile(filepath.Dir(other.path), filepath.Dir(s.path)) || sameFile(other.path, s.path) {
		return fmt.Errorf("replace index %s: %s is no other file of its folder", s.path, other.path)
	}
	return s.alone(ctx, "replace index", func() error {
		if err := other.reserve(ctx, s.writer.next-1); err != nil {
			return err
		}
		if err := other.retire(ctx); err != nil {
			return err
		}
		// Two ways to one folder may be two file systems to the kernel.
		moved, err := s.swap(ctx, filepath.Join(filepath.Dir(s.path), filepath.Base(other.path)))
		if moved {
			os.Remove(other.path + lockSuffix)
		}
		other.unlock()
		return err
	})
}

// sameFile says whether two paths lead to one file or folder.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// alone does what nobody else may change the file during, or read it for long.
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

// retire closes the connections of a store whose file is complete by itself then. Its
// lock stays.
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

// swap puts a complete file in place of the store's, for one that is alone, and says
// whether it has. An error after that, or one that closes the store, is of what keeps
// it from going on.
func (s *Store) swap(ctx context.Context, file string) (moved bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A log that is not empty would be taken for the new file's.
	if err := s.writer.checkpoint(); err != nil {
		return false, err
	}
	next := s.writer.next // a failed change may have given some that no file tells of
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
		s.closed = fmt.Errorf("the new file is in its place, but the log of the old one is beside it: %w", err)
		return moved, s.closed
	}
	session, again := connect(context.WithoutCancel(ctx), s.path, false)
	if again != nil {
		s.closed = lost(moved, err, again)
		return moved, s.closed
	}
	s.session = session
	s.writer.next = max(s.writer.next, next)
	return moved, err
}

// lost is why a store is closed whose file could not be opened again.
func lost(moved bool, why, again error) error {
	if moved {
		return fmt.Errorf("the new file is in its place, but could not be opened: %w", again)
	}
	return fmt.Errorf("%w, and then it could not be opened again: %w", why, again)
}

// settle makes a file that has just got its name the only one. What SQLite has beside
// the old one, which a reader may have made again, shows readers of the new one where
// its log is, and goes. Each step is tried twice, and no error but the one of a log
// with something in it, that would be taken for the new file's.
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
