package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// logEvery is how long a line about a request may wait to be written. One at a time,
// they would take a tenth of what a small request takes, and answers wait for them.
const logEvery = 200 * time.Millisecond

// logger writes JSON lines, those of requests a few at a time, warnings and errors at
// once with all before them. A process that is killed loses what still waits.
type logger struct {
	slog.Handler
	out *lines
}

// lines gathers what is written to it. It may be used by many goroutines.
type lines struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Flush()
}

// newLogger writes to out until stop is called, which writes the rest.
func newLogger(out io.Writer) (log *slog.Logger, stop func()) {
	l := &lines{out: bufio.NewWriterSize(out, 64<<10)}
	ended := make(chan struct{})
	var flushing sync.WaitGroup
	flushing.Go(func() {
		tick := time.NewTicker(logEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.flush()
			case <-ended:
				l.flush()
				return
			}
		}
	})
	return slog.New(&logger{slog.NewJSONHandler(l, nil), l}), func() {
		close(ended)
		flushing.Wait()
	}
}

// Handle writes a record.
func (g *logger) Handle(ctx context.Context, r slog.Record) error {
	err := g.Handler.Handle(ctx, r)
	if err == nil && r.Level >= slog.LevelWarn {
		err = g.out.flush()
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
