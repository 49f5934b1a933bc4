package server

import (
	"context"
	"os"
	"time"
)

// Watcher loads a server's model again when it is told to or the file changes.
type Watcher struct {
	s    *Server
	file watched
}

// Watch returns a Watcher of the model file at path, to be made before Load: changes
// from here on count.
func (s *Server) Watch(path string) *Watcher { return &Watcher{s, watch(path)} }

// Run loads the model again whenever now receives, and when the file has changed and
// then stayed as it is from one look to the next, every so often; 0 for no look. A
// file that cannot be loaded, as one that is still being written, is reported once and
// left for its next change. It returns when ctx ends.
func (w *Watcher) Run(ctx context.Context, now <-chan os.Signal, every time.Duration) {
	looks{now, every}.run(ctx, func() {
		w.file.try()
		w.s.reload("signal")
	}, w.look)
}

func (w *Watcher) look() {
	if w.file.changed() {
		w.s.reload("the file changed")
	}
}

// looks say when a file is read again: when now receives, and every so often when it
// has changed; 0 for no look.
type looks struct {
	now   <-chan os.Signal
	every time.Duration
}

// run calls told whenever now receives, and look every so often, until ctx ends.
func (l looks) run(ctx context.Context, told, look func()) {
	var tick <-chan time.Time
	if l.every > 0 {
		ticker := time.NewTicker(l.every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.now:
			told()
		case <-tick:
			look()
		}
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

// watched is a file that is looked at now and then.
type watched struct {
	path        string
	seen, tried fileState // at the last look; when it was read last
}

// watch is a file that is read now.
func watch(path string) watched {
	now := stateOf(path)
	return watched{path, now, now}
}

// try says that the file is read now.
func (w *watched) try() { w.tried = stateOf(w.path) }

// changed looks at the file. It tells whether it is to be read: other than it was read
// last, and as it was at the last look, so that nobody is still writing.
func (w *watched) changed() bool {
	last := w.seen
	if w.seen = stateOf(w.path); !w.seen.there() || !w.seen.same(last) || w.seen.same(w.tried) {
		return false
	}
	w.tried = w.seen
	return true
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
