package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace puts the file of other, which lies in the same folder and is closed by this,
// in place of the store's own, and goes on with it. A crash at any moment leaves the
// old file or the new one whole. With an error the store goes on with what it had;
// other is still open if its log could not be moved into its file, else closed.
//
// Processes that read the old file beside its owner go on reading that. While one is
// just reading from the log, the error is ErrInUse.
func (s *Store) Replace(ctx context.Context, other *Store) error {
	if !sameFile(filepath.Dir(other.path), filepath.Dir(s.path)) || sameFile(other.path, s.path) {
		return fmt.Errorf("replace index %s: %s is no other file of its folder", s.path, other.path)
	}
	return s.alone(ctx, "replace index", func() error {
		if err := other.retire(ctx); err != nil {
			return err
		}
		// Two ways to one folder may be two file systems to the kernel.
		err := s.swap(ctx, filepath.Join(filepath.Dir(s.path), filepath.Base(other.path)))
		if err == nil {
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
		err = ErrClosed
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
		s.session = nil
		return errors.Join(err, dropLog(s.path))
	})
}

// swap puts a complete file in place of the store's, for one that is alone.
func (s *Store) swap(ctx context.Context, file string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A log that is not empty would be taken for the new file's.
	if err := s.writer.checkpoint(); err != nil {
		return err
	}
	next := s.writer.next
	err := s.disconnect()
	s.session = nil
	if err == nil {
		err = exchange(file, s.path)
	}
	session, again := connect(context.WithoutCancel(ctx), s.path, false)
	if again != nil {
		return errors.Join(err, again)
	}
	s.session = session
	s.writer.next = max(s.writer.next, next)
	return err
}

// exchange moves a file to the name of another. What SQLite has beside that one goes
// first, and once more afterwards, since a reader may have made it again: it shows
// readers of the new file where its log is.
func exchange(file, path string) error {
	if err := dropLog(path); err != nil {
		return err
	}
	if err := os.Rename(file, path); err != nil {
		return err
	}
	return errors.Join(dropLog(path), syncFolder(path))
}
