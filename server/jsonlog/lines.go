package jsonlog

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// lines buffers lines for a writer that may be slow, stall or fail: callers never wait for it, and
// lines that do not fit or cannot be written are dropped and counted. It is safe for concurrent
// use.
type lines struct {
	out  io.Writer // used only by run
	wake chan struct{}

	mu      sync.Mutex
	waiting []byte // whole lines
	gone    int64  // lines dropped
	told    int64  // of those, the lines already reported in out
}

const (
	// linesEvery is the maximum delay of a line about a request. Written one by one, the lines
	// would cost a tenth of the time of a small request.
	linesEvery = 200 * time.Millisecond
	// linesSoon is the number of buffered bytes from which on they are written at once.
	linesSoon = 64 << 10
	// mostLines bounds the buffered bytes, some 10 000 lines: under the highest load, a reader may
	// stall for seconds before any are dropped.
	mostLines = 4 << 20
)

// Write accepts whole lines and never fails.
func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	b = visible(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting)+len(b) > mostLines {
		l.gone += countLines(b)
		return n, nil
	}
	l.waiting = append(l.waiting, b...)
	if len(l.waiting) >= linesSoon {
		l.hurry()
	}
	return n, nil
}

// hurry triggers an immediate write.
func (l *lines) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lines) lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

// run writes the buffered lines until ending is closed and the last write has been tried.
func (l *lines) run(ending <-chan struct{}) {
	tick := time.NewTicker(linesEvery)
	defer tick.Stop()
	var text []byte // being written, while new lines collect in waiting
	torn := false
	for end := false; !end; {
		select {
		case <-tick.C:
		case <-l.wake:
		case <-ending:
			end = true
		}
		var told int64
		if text, told = l.take(text[:0]); len(text) > 0 {
			torn = l.put(text, told, torn)
		}
	}
}

// take swaps the buffered lines for an empty buffer, and appends a line reporting dropped ones;
// told is how many it reports.
func (l *lines) take(empty []byte) (text []byte, told int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, l.waiting = l.waiting, empty
	if told = l.gone - l.told; told > 0 {
		text = append(text, aboutLost(told)...)
	}
	return text, told
}

// put writes text. torn says that the previous write ended in the middle of a line.
func (l *lines) put(text []byte, told int64, torn bool) (tornNow bool) {
	if torn {
		if _, err := l.out.Write([]byte("\n")); err != nil {
			l.missed(text, told)
			return true
		}
	}
	n, err := l.out.Write(text)
	if err == nil {
		l.mu.Lock()
		l.told += told
		l.mu.Unlock()
		return false
	}
	l.missed(text[n:], told)
	return n > 0 && text[n-1] != '\n'
}

// missed counts the unwritten lines of text as dropped, except the report of dropped lines at its
// end, if there is one: that will be repeated.
func (l *lines) missed(text []byte, told int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone += countLines(text)
	if told > 0 && len(text) > 0 {
		l.gone--
	}
}

// visible escapes the control characters that encoding/json leaves unescaped (DEL and C1), some of
// which terminals interpret as the start of a command.
func visible(b []byte) []byte {
	if bytes.IndexFunc(b, hidden) < 0 {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		if hidden(r) {
			fmt.Fprintf(&out, "\\u%04x", r)
			continue
		}
		out.WriteRune(r)
	}
	return out.Bytes()
}

func hidden(r rune) bool { return r >= 0x7f && r < 0xa0 }

func countLines(b []byte) int64 { return int64(bytes.Count(b, []byte{'\n'})) }

// aboutLost is the line that reports dropped ones, in the same format as the others.
func aboutLost(n int64) []byte {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Warn(fmt.Sprintf("%d log lines were lost: the log reader was stalled or gone", n), "lines", n)
	return b.Bytes()
}
