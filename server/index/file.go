package index

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"vicreg/server/index/store"
)

// File is an Index in one file: every item is in an SQLite database and on the disk before it is
// acknowledged, and the vectors and the columns for filters are in memory, too. One process at a
// time owns a file; others may open it read-only.
type File struct {
	path     string
	threads  *threads
	writer   *writer // nil if read-only
	sketcher *sketcher

	mu     sync.RWMutex // read-locked while the file is used, locked to exclude all use
	state  *state
	closed bool
}

// state is the content of a file. Replace swaps in another one.
type state struct {
	db      *store.Store
	binding Binding
	damage  *damages
	bare    bool // its collections have no vectors

	total *tally // of the collections in names

	mu    sync.RWMutex
	names map[string]*collection
}

// Options configure Open.
type Options struct {
	// Binding is the model's. A new file gets it; an existing one must have the same fingerprint
	// and dimension, and keeps its own centre. Without a fingerprint any file is accepted.
	Binding  Binding
	Create   bool                  // create a missing file; otherwise the error is fs.ErrNotExist
	ReadOnly bool                  // read what is there now, beside an owner; later changes are not seen
	Threads  int                   // for loading, and for all searches together; 0 for the number of cores
	Sketch   bool                  // draw sketches in the background, on one core: for frequent searches
	Progress func(done, total int) // called now and then while items are loaded; may be nil
	Damaged  func(d Damage)        // called once for each item that is found to be damaged after it has been loaded; may be nil

	// CheckpointFailed is called when the write-ahead log could not be moved into the file, so
	// that it grows, for another reason than that somebody is reading it. It must not use the
	// file. May be nil.
	CheckpointFailed func(error)

	// Restored is called when Open has put a backup in place whose Restore was interrupted. May be
	// nil.
	Restored func()

	bare bool // keep no vectors, for Describe
}

// Errors of the file itself.
var (
	ErrInUse   = store.ErrInUse
	ErrDamaged = store.ErrDamaged
	ErrNewer   = store.ErrNewer
	ErrForeign = store.ErrForeign
	ErrFull    = store.ErrFull

	ErrUnfinished = store.ErrUnfinished
)

var _ Index = (*File)(nil)

// Open loads the file at path. If something is wrong with it, the error wraps ErrModel, ErrInUse,
// ErrDamaged, ErrNewer, ErrForeign or fs.ErrNotExist. Items whose rows are damaged are left out:
// see Damaged.
func Open(ctx context.Context, path string, o Options) (*File, error) {
	if o.Threads < 1 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	f := &File{path: path, threads: newThreads(o.Threads)}
	st, err := load(ctx, path, o)
	if err != nil {
		return nil, err
	}
	f.state, f.path = st, st.db.Path()
	tune(st.total.bytes.Load())
	debug.FreeOSMemory() // loading leaves garbage, a fraction of the vectors' size, which nothing else frees
	f.sketcher = newSketcher(f.current)
	if o.Sketch {
		f.sketcher.start()
	}
	if !o.ReadOnly {
		f.writer = newWriter(st, f.sketcher.more)
	}
	return f, nil
}

// load opens the database at path and reads it.
func load(ctx context.Context, path string, o Options) (_ *state, err error) {
	if o.Binding.Dim > MaxDim { // before a file is created for them
		return nil, fmt.Errorf("open index %s: vectors of %d numbers: want at most %d", path, o.Binding.Dim, MaxDim)
	}
	db, err := store.Open(ctx, path, store.Options{About: store.About(o.Binding), Create: o.Create, ReadOnly: o.ReadOnly, CheckpointFailed: o.CheckpointFailed, Restored: o.Restored})
	if err != nil {
		return nil, err
	}
	st := &state{db: db, binding: Binding(db.About()), damage: newDamages(), bare: o.bare, names: map[string]*collection{}, total: &tally{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if st.binding.Dim < 1 || st.binding.Dim > MaxDim {
		return nil, fmt.Errorf("open index %s: vectors of %d numbers: want 1 to %d", path, st.binding.Dim, MaxDim)
	}
	if err := st.binding.Admits(o.Binding); err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	if err := st.load(ctx, o.Threads, o.Progress); err != nil {
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	st.damage.tell = o.Damaged
	return st, nil
}

// Admits returns an error that wraps ErrModel unless a model's vectors may be compared with those
// of b. A model without a fingerprint is not checked.
func (b Binding) Admits(model Binding) error {
	switch {
	case model.Fingerprint == "":
		return nil
	case b.Fingerprint != model.Fingerprint:
		return fmt.Errorf("%w: it has vectors of %s, but this model is %s", ErrModel, b.Fingerprint, model.Fingerprint)
	case b.Dim != model.Dim:
		return fmt.Errorf("%w: its vectors have %d numbers, but those of the model have %d", ErrModel, b.Dim, model.Dim)
	}
	return nil
}

// collection returns a namespace, an empty one if there is none of that name.
func (st *state) collection(name string) *collection {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if c := st.names[name]; c != nil {
		return c
	}
	return newCollection(st.dim())
}

// dim is the number of numbers that collections keep of a vector.
func (st *state) dim() int {
	if st.bare {
		return 0
	}
	return st.binding.Dim
}

// make returns the collection of a namespace, creating it if there is none. Only load and the
// writer call it.
func (st *state) make(name string) *collection {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.names[name] == nil {
		c := newCollection(st.dim())
		c.total = st.total
		st.names[name] = c
	}
	return st.names[name]
}

// end removes a namespace. The writer calls it for one without items.
func (st *state) end(name string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if c := st.names[name]; c != nil {
		c.leaves()
		delete(st.names, name)
	}
}

// sorted returns the names of the namespaces that have items.
func (st *state) sorted() (names []string) {
	st.mu.RLock()
	for name, c := range st.names {
		if c.snapshot().items > 0 {
			names = append(names, name)
		}
	}
	st.mu.RUnlock()
	slices.Sort(names) // may take long
	return names
}

// enter keeps the file open until leave is called.
func (f *File) enter() (st *state, leave func(), err error) {
	f.mu.RLock()
	if f.closed {
		f.mu.RUnlock()
		return nil, nil, fmt.Errorf("%s: %w", f.path, ErrClosed)
	}
	return f.state, f.mu.RUnlock, nil
}

// current returns the current state, for uses that need no database.
func (f *File) current() *state {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state
}

// Close waits for calls in progress and releases the file. It may be called more than once.
func (f *File) Close() error {
	f.sketcher.close() // before locking, as it reads the state
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.writer != nil {
		f.writer.close()
	}
	return f.state.db.Close()
}

// Path returns the file's path, without symbolic links.
func (f *File) Path() string { return f.path }

// Remove removes an index with everything beside it. It returns ErrInUse if a process owns the
// index.
func Remove(path string) error { return store.Remove(path) }

// Restore puts what the index from holds in place of the index at path, which may be damaged or
// missing, and returns the number of items. The old log goes with the old file. It returns
// ErrInUse if a process has the index open, and wraps ErrUnfinished if it must be repeated.
func Restore(ctx context.Context, from, path string) (items int, err error) {
	return store.Restore(ctx, from, path)
}

// Binding returns the binding of the vectors, also after Close.
func (f *File) Binding() Binding {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.binding
}
