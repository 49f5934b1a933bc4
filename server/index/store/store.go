// Package store is the file under the similarity index: rows with their vectors in
// one SQLite database, each on the disk before a change to it is acknowledged. The
// file stays open to the sqlite3 program, to look into: what others write there
// fails the checksums. The package knows nothing of search.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Store is an open index file. Its methods may be called at once; changes to the
// file wait for each other.
type Store struct {
	path     string // absolute, without symbolic links
	readOnly bool
	lock     *os.File // nil with readOnly

	// Whoever takes several of these takes them in this order.
	long     sync.RWMutex // shared by what reads for long; alone for what puts another file in place
	writing  sync.Mutex   // for whoever uses the writer, or closes it
	mu       sync.RWMutex // guards what follows; to change it takes all three
	*session              // nil when the store is closed
	closed   error        // why it is
}

// session is the connections to one file.
type session struct {
	about  About
	claim  *claim  // nil when the store is open for reading only
	writer *writer // the same
	reads  *readers
}

// About is what the vectors of a file have in common.
type About struct {
	Fingerprint string    // of the model
	Dim         int       // D, numbers of a vector
	Center      []float32 // [D], or nil
}

// Options are how a file is opened.
type Options struct {
	About    About // of a new file; one that is there has its own
	Create   bool  // make the file when it is not there
	ReadOnly bool  // beside an owner or without one: take no lock and change nothing
}

// Open opens the index file at path. One process owns it until Close: others get
// ErrInUse, unless they only read. What a crash left unfinished is undone. The error
// is fs.ErrNotExist for a missing file without Create, else one of this package where
// one fits.
//
// A reader needs to write to the folder (SQLite keeps the files -wal and -shm beside
// a file that is in use), or that nobody has changed the file since it was closed:
// then it is read as it is.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, readOnly: o.ReadOnly}
	missing, err := s.look()
	if err != nil {
		return nil, err
	}
	if missing && (!o.Create || o.ReadOnly) {
		return nil, fmt.Errorf("open index %s: %w", path, fs.ErrNotExist)
	}
	if err := s.open(ctx, o); err != nil {
		s.unlock()
		return nil, err
	}
	return s, nil
}

// look refuses what SQLite would take for a database to be, before anything is made.
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
		return false, fmt.Errorf("open index %s: %w: it is no regular file", s.path, ErrForeign)
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
		dropDrafts(s.path)       // where they cannot be removed they only take room
		missing, err := s.look() // the owner until now may have made it
		if err != nil {
			return err
		}
		if missing {
			if err := create(s.path, o.About); err != nil {
				return explain("create index", s.path, err)
			}
		}
	}
	s.session, err = connect(ctx, s.path, s.readOnly)
	return explain("open index", s.path, err)
}

// About is what the vectors of the file have in common; not to be changed.
func (s *Store) About() About {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return About{}
	}
	return s.about
}

// Close moves what is in the log into the file and lets go of it, after what is under
// way has ended. What cannot be moved, since another process is just reading or the
// disk is full, stays in the log, where the next Open finds it; only the full disk is
// an error.
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
