// Package store implements the file of the similarity index: rows with their vectors in one
// SQLite database, where every change is on the disk before it is acknowledged. The file can be
// inspected with the sqlite3 program, but what others write to it fails the checksums. The
// package has no search.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Store is an open index file. Its methods may be called concurrently; changes to the file are
// serialised.
type Store struct {
	path     string // absolute, without symbolic links
	readOnly bool
	failed   func(error) // see Options.CheckpointFailed
	lock     *os.File    // nil with readOnly

	// Locks, in the order in which they must be acquired.
	long     sync.RWMutex // shared by long reads; exclusive for replacing the file
	writing  sync.Mutex   // for using or closing the writer
	mu       sync.RWMutex // guards what follows; changing it requires all three locks
	*session              // nil when the store is closed
	closed   error        // why it is closed
}

// session holds the connections to one file.
type session struct {
	about  About
	claim  *claim  // nil if the store is read-only
	writer *writer // nil if the store is read-only
	reads  *readers
}

// About describes the vectors of a file.
type About struct {
	Fingerprint string    // of the model
	Dim         int       // D, numbers of a vector
	Center      []float32 // [D], or nil
}

// Options configure Open.
type Options struct {
	About    About // of a new file; an existing one has its own
	Create   bool  // create the file if it does not exist
	ReadOnly bool  // with or without another owner: take no lock and change nothing

	// CheckpointFailed is called when the log could not be moved into the file, so that it grows,
	// for another reason than that somebody is reading it. It must not use the store. May be nil.
	CheckpointFailed func(error)

	// Restored is called when Open has completed an interrupted Restore: what was at the path is
	// gone. May be nil.
	Restored func()
}

// Open opens the index file at path. One process owns it until Close: others get ErrInUse, unless
// they open it read-only. What a crash left unfinished is undone, or completed where it counts
// already: a Restore, for which a reader gets ErrUnfinished. The error is fs.ErrNotExist for a
// missing file without Create, otherwise one of this package where one fits.
//
// A reader needs write access to the folder (SQLite keeps the files -wal and -shm beside a file
// in use), or a file without a log, which is then read as immutable.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, readOnly: o.ReadOnly, failed: o.CheckpointFailed}
	if pending := unfinished(path); pending && o.ReadOnly {
		return nil, fmt.Errorf("open index %s: %w", path, ErrUnfinished)
	} else if !pending { // otherwise the file is about to be replaced
		missing, err := s.look()
		if err != nil {
			return nil, err
		}
		if missing && (!o.Create || o.ReadOnly) {
			return nil, fmt.Errorf("open index %s: %w", path, fs.ErrNotExist)
		}
	}
	if err := s.open(ctx, o); err != nil {
		s.unlock()
		return nil, err
	}
	return s, nil
}

// look rejects what SQLite would take for an empty database, before anything is created.
func (s *Store) look() (missing bool, err error) {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("open index: %w", err)
	case info.IsDir():
		return false, fmt.Errorf("open index %s: %w: it is a folder", s.path, ErrForeign)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("open index %s: %w: not a regular file", s.path, ErrForeign)
	case info.Size() == 0:
		return false, fmt.Errorf("open index %s: %w: it is empty", s.path, ErrForeign)
	}
	return false, nil
}

func (s *Store) open(ctx context.Context, o Options) (err error) {
	if !s.readOnly {
		if s.lock, err = lock(s.path); err != nil {
			return err
		}
		pending := unfinished(s.path)
		if err := finishRestore(s.path); err != nil {
			return explain("open index", s.path, err)
		}
		if pending && o.Restored != nil {
			o.Restored()
		}
		dropDrafts(s.path)       // best effort: they only take up space
		missing, err := s.look() // the previous owner may have created it
		if err != nil {
			return err
		}
		if missing {
			if err := create(s.path, o.About); err != nil {
				return explain("create index", s.path, err)
			}
		}
	}
	s.session, err = s.connect(ctx)
	return explain("open index", s.path, err)
}

// About returns the description of the file's vectors; it must not be modified.
func (s *Store) About() About {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return About{}
	}
	return s.about
}

// Close moves the log into the file and releases it, once calls in progress have ended. What
// cannot be moved, because another process is reading or the disk is full, stays in the log,
// where the next Open finds it; of these two only the full disk is an error.
func (s *Store) Close() error {
	s.long.Lock()
	defer s.long.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.unlock()
	s.closed = ErrClosed
	if s.session == nil {
		return nil
	}
	var err error
	if s.writer != nil {
		err = s.writer.checkpoint()
	}
	if errors.Is(err, ErrInUse) {
		err = nil
	}
	err = errors.Join(err, s.disconnect())
	s.session = nil
	return explain("close index", s.path, err)
}
