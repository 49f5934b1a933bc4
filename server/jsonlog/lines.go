package jsonlog

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// lines gathers lines for a writer that may be slow, stand still or fail: those who
// write never wait for it, and what finds no room or is not taken is lost and counted.
// It may be used by many goroutines.
type lines struct {
	out  io.Writer // used by run alone
	wake chan struct{}

	mu      sync.Mutex
	waiting []byte // whole lines
	gone    int64  // lines that were lost
	told    int64  // of those, the ones that a line in out tells of
}

const (
	// linesEvery is how long a line about a request may wait. One at a time, they would
	// take a tenth of what a small request takes.
	linesEvery = 200 * time.Millisecond
	// linesSoon is from how many bytes on they are written at once.
	linesSoon = 64 << 10
	// mostLines bounds the bytes that wait, some 10 000 lines: a reader may stand still
	// for seconds under the highest load before any are lost.
	mostLines = 4 << 20
)

// Write takes whole lines, and never fails.
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

// hurry has what waits written now.
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

// run writes what waits, until ending is closed and all of it is tried.
func (l *lines) run(ending <-chan struct{}) {
	tick := time.NewTicker(linesEvery)
	defer tick.Stop()
	var text []byte // that it writes, while others wait in the place of it
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

// take exchanges what waits for an empty buffer, and adds a line about those that were
// lost; told is how many it tells of.
func (l *lines) take(empty []byte) (text []byte, told int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, l.waiting = l.waiting, empty
	if told = l.gone - l.told; told > 0 {
		text = append(text, aboutLost(told)...)
	}
	return text, told
}

// put writes text. torn says that what was written last broke off within a line.
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

// missed counts the lines of text, which was not written, but for the last one where
// that is the one about lost lines: it comes again.
func (l *lines) missed(text []byte, told int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone += countLines(text)
	if told > 0 && len(text) > 0 {
		l.gone--
	}
}

// visible escapes what encoding/json leaves of the control characters in its strings:
// a terminal takes some of them for the beginning of a command.
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

// aboutLost is the line that tells of lost ones, in the form of the others.
func aboutLost(n int64) []byte {
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Warn(fmt.Sprintf("%d lines of the log were lost: whoever reads it stood still or was gone", n), "lines", n)
	return b.Bytes()
}
