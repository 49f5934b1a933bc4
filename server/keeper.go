package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// keeper owns the index file of a server: it opens the file for the first model, and
// has it made anew for one whose vectors are others.
type keeper struct {
	s       *Server
	path    string
	rebuild bool
	file    *index.File // nil before the first model
	opening context.Context
	abandon context.CancelFunc // ends the opening of the file

	mu    sync.Mutex
	stop  context.CancelFunc // ends the rebuild under way
	ended sync.WaitGroup     // of the rebuild
}

// Keep makes the server own the index file at path, which is made when it is not
// there. With rebuild it is made anew for a model that it does not belong to, while
// the server goes on; else such a model is an error at the start, and later one that
// cannot be searched with. To be called before Load.
func (s *Server) Keep(path string, rebuild bool) {
	s.keeper = &keeper{s: s, path: path, rebuild: rebuild}
	s.keeper.opening, s.keeper.abandon = context.WithCancel(context.Background())
}

// bindingOf is what an index keeps of a model.
func bindingOf(e embedder) index.Binding {
	return index.Bind(e.Fingerprint(), e.Dim(), e.Metadata().Center)
}

// begin opens the file when e is the first model.
func (k *keeper) begin(e embedder) error {
	if k == nil || k.file != nil {
		return nil
	}
	begin := time.Now()
	progress := func(done, total int) { k.s.log.Info("loading the index", "done", done, "items", total) }
	f, err := index.Open(k.opening, k.path, index.Options{Binding: bindingOf(e), Create: true, Sketch: true, Progress: progress})
	if errors.Is(err, index.ErrModel) && k.rebuild {
		f, err = index.Open(k.opening, k.path, index.Options{Sketch: true, Progress: progress})
	}
	if errors.Is(err, index.ErrModel) {
		err = fmt.Errorf("%w; --rebuild makes its vectors anew, vicreg index rebuild does it beforehand", err)
	}
	if err != nil {
		return &usage.Error{Err: fmt.Errorf("--index: %w", err)}
	}
	k.file = f
	k.s.SetIndex(f)
	k.s.log.Info("index loaded", "items", f.Len(), "similarity", f.Binding().Similarity(), "seconds", time.Since(begin).Seconds())
	return nil
}

// follow sees to it that the index fits the model that has come into service.
func (k *keeper) follow(e embedder) {
	if k == nil {
		return
	}
	k.halt()
	err := k.file.Binding().Admits(bindingOf(e))
	if err == nil {
		return
	}
	k.s.log.Warn("no search until the index fits the model", "error", err, "rebuild", k.rebuild)
	if !k.rebuild {
		return
	}
	_, done, err := k.s.use()
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
		k.refill(ctx, e)
	})
}

// quit ends what may take long, for a server that is to stop.
func (k *keeper) quit() {
	if k != nil {
		k.abandon()
	}
}

// halt ends a rebuild under way. What it has made is kept for the next one.
func (k *keeper) halt() {
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

// close gives up the file.
func (k *keeper) close() error {
	if k == nil || k.file == nil {
		return nil
	}
	k.s.SetIndex(nil)
	return k.file.Close()
}
