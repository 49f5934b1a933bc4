// Package jsonlog logs JSON lines for a server: a slow reader never blocks the caller. Lines are
// escaped so that they are safe to show in a terminal.
package jsonlog

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// logger writes JSON lines: those of requests in batches, warnings and errors at once. A process
// that is killed loses the lines still buffered.
type logger struct {
	slog.Handler
	out *lines
}

// New writes to out until stop is called; stop writes the rest, waiting at most LastWrite. Callers
// never block on out: lines that it does not accept are dropped, counted, and reported in a line
// once it accepts writes again.
func New(out io.Writer) (log *slog.Logger, stop func()) {
	l := &lines{out: out, wake: make(chan struct{}, 1)}
	ending, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ending)
	}()
	return slog.New(&logger{slog.NewJSONHandler(l, nil), l}), func() {
		close(ending)
		select {
		case <-ended:
		case <-time.After(LastWrite):
		}
	}
}

// LastWrite is how long the program waits on exit for its last output to be read.
const LastWrite = time.Second

// Handle queues a record; at warning level or above it is written without delay.
func (g *logger) Handle(ctx context.Context, r slog.Record) error {
	err := g.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		g.out.hurry()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (g *logger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logger{g.Handler.WithAttrs(attrs), g.out}
}

// WithGroup implements slog.Handler.
func (g *logger) WithGroup(name string) slog.Handler {
	return &logger{g.Handler.WithGroup(name), g.out}
}

// Lost is the number of lines of a log that have been dropped so far, 0 if another package made the
// log.
func Lost(log *slog.Logger) float64 {
	if g, ok := log.Handler().(*logger); ok {
		return float64(g.out.lost())
	}
	return 0
}
