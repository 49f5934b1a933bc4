package bulk

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Line tells how far a piece of work is: rewritten in place on a terminal,
// else a line now and then. Any number of goroutines may use it.
type Line struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	shown time.Time
}

// quiet is how often a line is printed where no terminal is.
const quiet = 15 * time.Second

// NewLine is a line on out; it is in place when out is a terminal.
func NewLine(out io.Writer) *Line {
	l := &Line{out: out, shown: time.Now()}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		l.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return l
}

// Show prints what text makes, when a line is due.
func (l *Line) Show(text func() string) {
	interval := quiet
	if l.terminal {
		interval = 200 * time.Millisecond
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.shown) < interval {
		return
	}
	l.shown = now
	if l.terminal {
		fmt.Fprintf(l.out, "\r\x1b[K%s", text())
		return
	}
	fmt.Fprintln(l.out, text())
}

// Clear removes the line in place, so that ordinary output can follow.
func (l *Line) Clear() {
	if l.terminal {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}

// Rate is the text of a line: what was done, how far the work is, from done images
// at begin.
func Rate(what string, now, n, done int, begin time.Time) string {
	perSecond := float64(now-done) / time.Since(begin).Seconds()
	left := "?"
	if perSecond > 0 {
		left = time.Duration(float64(n-now) / perSecond * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("%s %d of %d images  %.1f images/s  %s left", what, now, n, perSecond, left)
}
