package server

import (
	"context"
	"os"
	"time"
)

// Watcher reloads a server's model on a signal or when its file changes.
type Watcher struct {
	s    *Server
	file watched
}

// Watch returns a Watcher of the model file at path. It must be called before Load, since it
// detects changes from here on.
func (s *Server) Watch(path string) *Watcher { return &Watcher{s, watch(path)} }

// Run reloads the model whenever now receives, and when the file has changed and then stayed the
// same between two checks; every is the interval between checks, 0 for none. A file that cannot be
// loaded, such as one still being written, is reported once and not retried until it changes again.
// Run returns when ctx ends.
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

// looks says when a file is re-read: whenever now receives, and when it has changed at a check;
// every is the interval between checks, 0 for none.
type looks struct {
	now   <-chan os.Signal
	every time.Duration
}

// run calls told whenever now receives, and look at each check, until ctx ends.
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

// reload loads the model and records the outcome.
func (s *Server) reload(why string) {
	result := "ok"
	if err := s.Load(); err != nil {
		result = "failed"
		s.log.Error("cannot load the new model; still serving the old one", "why", why, "error", err)
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
}

// watched is a file that is polled for changes.
type watched struct {
	path        string
	seen, tried fileState // at the last check; when it was last read
}

// watch returns the watched state of a file that is about to be read.
func watch(path string) watched {
	now := stateOf(path)
	return watched{path, now, now}
}

// try records that the file is being read now.
func (w *watched) try() { w.tried = stateOf(w.path) }

// changed checks the file and reports whether it should be read: it differs from when it was last
// read, and is the same as at the last check, so nobody is still writing.
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
