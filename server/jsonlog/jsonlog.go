// Package jsonlog is a log of JSON lines for a program that answers requests: nobody who
// logs waits for whoever reads it. Lines are escaped, so that a terminal can show them.
package jsonlog

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// logger writes JSON lines, those of requests a few at a time, warnings and errors
// soon. A process that is killed loses what still waits.
type logger struct {
	slog.Handler
	out *lines
}

// New writes to out until stop is called, which writes the rest if out takes it in the
// time of LastWrite. Nobody who logs ever waits for out; what it does not take is lost,
// counted, and told of in a line when it takes lines again.
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

// LastWrite is how long the end of the program waits for whoever reads what it writes.
const LastWrite = time.Second

// Handle takes a record, to be written.
func (g *logger) Handle(ctx context.Context, r slog.Record) error {
	err := g.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		g.out.hurry()
	}
	return err
}

// WithAttrs is that of slog.Handler.
func (g *logger) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logger{g.Handler.WithAttrs(attrs), g.out}
}

// WithGroup is that of slog.Handler.
func (g *logger) WithGroup(name string) slog.Handler {
	return &logger{g.Handler.WithGroup(name), g.out}
}

// Lost is how many lines of a log could not be written so far, 0 for a log of another
// package.
func Lost(log *slog.Logger) float64 {
	if g, ok := log.Handler().(*logger); ok {
		return float64(g.out.lost())
	}
	return 0
}
