package server

import (
	"context"
	"os"
	"time"
)

// Watcher loads a server's model again when it is told to or the file changes.
type Watcher struct {
	s           *Server
	path        string
	seen, tried fileState // at the last look; when the model was loaded last
}

// Watch returns a Watcher of the model file at path, to be made before Load: changes
// from here on count.
func (s *Server) Watch(path string) *Watcher {
	now := stateOf(path)
	return &Watcher{s: s, path: path, seen: now, tried: now}
}

// Run loads the model again whenever now receives, and when the file has changed and
// then stayed as it is from one look to the next, every so often; 0 for no look. A
// file that cannot be loaded, as one that is still being written, is reported once and
// left for its next change. It returns when ctx ends.
func (w *Watcher) Run(ctx context.Context, now <-chan os.Signal, every time.Duration) {
	var look <-chan time.Time
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		look = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-now:
			w.tried = stateOf(w.path)
			w.s.reload("signal")
		case <-look:
			w.look()
		}
	}
}

// look loads a changed file that is as it was at the last look.
func (w *Watcher) look() {
	last := w.seen
	if w.seen = stateOf(w.path); w.seen.there() && w.seen.same(last) && !w.seen.same(w.tried) {
		w.tried = w.seen
		w.s.reload("the file changed")
	}
}

// reload loads and tells how it went.
func (s *Server) reload(why string) {
	result := "ok"
	if err := s.Load(); err != nil {
		result = "failed"
		s.log.Error("the model in service stays: the new one cannot be loaded", "why", why, "error", err)
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
}

// fileState is what changes when a file is written, or another takes its name.
type fileState struct{ info os.FileInfo }

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info}
}

func (f fileState) there() bool { return f.info != nil }

func (f fileState) same(g fileState) bool {
	if !f.there() || !g.there() {
		return f.there() == g.there()
	}
	return os.SameFile(f.info, g.info) && f.info.Size() == g.info.Size() && f.info.ModTime().Equal(g.info.ModTime())
}
