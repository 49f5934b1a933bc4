package bulk

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Line reports progress: rewritten in place on a terminal, otherwise as an occasional new line. It
// is safe for concurrent use.
type Line struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	shown time.Time
}

// quiet is the interval between lines when the output is not a terminal.
const quiet = 15 * time.Second

// NewLine returns a Line on out, rewritten in place if out is a terminal.
func NewLine(out io.Writer) *Line {
	l := &Line{out: out, shown: time.Now()}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		l.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return l
}

// Show prints text() if a line is due.
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

// Rate formats a progress line: what is being done, now of n images, the rate since begin, when
// done images were finished already, and the time left.
func Rate(what string, now, n, done int, begin time.Time) string {
	perSecond := float64(now-done) / time.Since(begin).Seconds()
	left := "?"
	if perSecond > 0 {
		left = time.Duration(float64(n-now) / perSecond * float64(time.Second)).Round(time.Second).String()
	}
	return fmt.Sprintf("%s %d of %d images  %.1f images/s  %s left", what, now, n, perSecond, left)
}
