package items

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// keeper is an index file owned by a shelf: it is opened for the first model and rebuilt for a
// model with different vectors.
type keeper struct {
	path    string
	rebuild bool
	file    *index.File // nil before the first model
	opening context.Context
	abandon context.CancelFunc // cancels opening the file

	mu    sync.Mutex
	stop  context.CancelFunc // cancels the rebuild in progress
	ended sync.WaitGroup     // waits for the rebuild
}

// Keep makes the shelf own the index file at path, which is created if missing. With rebuild, the
// file is rebuilt in the background for a model that it does not belong to; without it, such a
// model is an error at startup, and after a reload the index cannot be searched. Keep must be
// called before Begin.
func (s *Shelf) Keep(path string, rebuild bool) {
	s.keeper = &keeper{path: path, rebuild: rebuild}
	s.keeper.opening, s.keeper.abandon = context.WithCancel(context.Background())
}

// bindingOf is what an index stores about a model.
func bindingOf(m Model) index.Binding {
	return index.Bind(m.Fingerprint(), m.Dim(), m.Metadata().Center)
}

// Begin opens the kept file if m is the first model.
func (s *Shelf) Begin(m Model) error {
	k := s.keeper
	if k == nil || k.file != nil {
		return nil
	}
	begin := time.Now()
	progress := func(done, total int) { s.log.Info("loading the index", "done", done, "items", total) }
	o := index.Options{Binding: bindingOf(m), Create: true, Sketch: true, Progress: progress, CheckpointFailed: s.moves.failed,
		Damaged: func(d index.Damage) { s.spoilt(d) },
		Restored: func() {
			s.log.Warn("an interrupted restore of the index is complete now: it is the backup", "index", k.path)
		}}
	f, err := index.Open(k.opening, k.path, o)
	if errors.Is(err, index.ErrModel) && k.rebuild {
		o.Binding, o.Create = index.Binding{}, false
		f, err = index.Open(k.opening, k.path, o)
	}
	if errors.Is(err, index.ErrModel) {
		err = fmt.Errorf("%w; recompute its vectors now with --rebuild, or beforehand with vicreg index rebuild", err)
	}
	if err != nil {
		return &usage.Error{Err: fmt.Errorf("--index: %w", err)}
	}
	k.file = f
	s.SetIndex(f)
	s.log.Info("index loaded", "items", f.Len(), "similarity", f.Binding().Similarity(), "seconds", time.Since(begin).Seconds())
	s.spoilt(f.Damaged()...)
	return nil
}

// mostDamaged is the number of damaged items that one line of the log names.
const mostDamaged = 5

// spoilt logs that items are damaged.
func (s *Shelf) spoilt(bad ...index.Damage) {
	if len(bad) == 0 {
		return
	}
	var first []string
	for _, d := range bad[:min(mostDamaged, len(bad))] {
		first = append(first, d.Error())
	}
	s.log.Error("the index has damaged items, which are left out", "damaged", len(bad), "first", first,
		"do", "vicreg index check FILE lists them all; each is mended by storing it again or deleting it; when no server runs, vicreg index remove FILE --damaged removes them")
}

// Follow makes the index fit the model that has come into service, by a rebuild if that is enabled.
func (s *Shelf) Follow(m Model) {
	k := s.keeper
	if k == nil {
		return
	}
	s.Halt()
	err := k.file.Binding().Admits(bindingOf(m))
	if err == nil {
		return
	}
	s.log.Warn("search is disabled until the index matches the model", "error", err, "rebuild", k.rebuild)
	if !k.rebuild {
		return
	}
	done, err := s.host.Use()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.mu.Lock()
	k.stop = cancel
	k.mu.Unlock()
	k.ended.Go(func() {
		defer done()
		defer cancel()
		s.refill(ctx, m)
	})
}

// Quit cancels opening the index, which may take long, because the server is stopping.
func (s *Shelf) Quit() {
	if s.keeper != nil {
		s.keeper.abandon()
	}
}

// Halt cancels a rebuild in progress and waits for it. What it has made is kept for the next one.
func (s *Shelf) Halt() {
	k := s.keeper
	if k == nil {
		return
	}
	k.mu.Lock()
	stop := k.stop
	k.stop = nil
	k.mu.Unlock()
	if stop != nil {
		stop()
	}
	k.ended.Wait()
}

// Close takes the kept file out of service and closes it.
func (s *Shelf) Close() error {
	k := s.keeper
	if k == nil || k.file == nil {
		return nil
	}
	s.SetIndex(nil)
	return k.file.Close()
}
