package pipeline

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// liveLine tells how far a piece of work is: rewritten in place on a terminal,
// else a line now and then. Any number of goroutines may use it.
type liveLine struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	shown time.Time
}

// quiet is how often a line is printed where no terminal is.
const quiet = 15 * time.Second

func newLiveLine(out io.Writer) *liveLine {
	l := &liveLine{out: out, shown: time.Now()}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		l.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return l
}

// show prints what text makes, when a line is due.
func (l *liveLine) show(text func() string) {
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

// clear removes the line in place, so that ordinary output can follow.
func (l *liveLine) clear() {
	if l.terminal {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}
