package jsonlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// page collects what is written; it is safe for concurrent use.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// Lines are written in order: after a short delay, at once with a warning, and all at the end.
func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		count := func() int { return strings.Count(out.String(), "\n") }
		log, stop := New(&out)
		log.Info("one")
		if synctest.Wait(); count() != 0 {
			t.Error("a line was written alone")
		}
		time.Sleep(linesEvery)
		if synctest.Wait(); count() != 1 {
			t.Errorf("%d lines after a while, want 1", count())
		}
		log.Info("two")
		log.With("a", 1).WithGroup("g").Warn("three", "b", 2)
		if synctest.Wait(); count() != 3 || !strings.Contains(out.String(), `"a":1,"g":{"b":2}`) {
			t.Errorf("with a warning: %s", &out)
		}
		log.Info("four")
		if stop(); count() != 4 || !strings.Contains(out.String(), "four") {
			t.Errorf("at the end: %s", &out)
		}
	})
}

// All control characters are escaped in the log, including those that JSON allows.
func TestLogEscapes(t *testing.T) {
	var out page
	log, stop := New(&out)
	log.Info("name", "path", "\x1b[1m \u009b1m \x7f ü 猫")
	stop()
	var line struct{ Path string }
	text := out.String()
	if err := json.Unmarshal([]byte(text), &line); err != nil || line.Path != "\x1b[1m \u009b1m \x7f ü 猫" {
		t.Errorf("%v, %q", err, line.Path)
	}
	if !strings.HasSuffix(text, `"path":"\u001b[1m \u009b1m \u007f ü 猫"}`+"\n") {
		t.Errorf("logged %q", text)
	}
}

// pipe is a writer whose reader can stall or leave.
type pipe struct {
	page
	still chan struct{} // closed when the reader resumes; nil if it is not stalled
	left  int           // bytes accepted before the reader is gone
	gone  bool
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.still != nil {
		<-p.still
	}
	if p.gone {
		n, _ := p.page.Write(b[:min(p.left, len(b))])
		p.left -= n
		return n, syscall.EPIPE
	}
	return p.page.Write(b)
}

// A stalled reader blocks nobody, not even the program's exit. When it resumes it gets the lines
// that fitted the buffer and the number of those lost.
func TestLogReaderStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &pipe{still: make(chan struct{})}
		log, stop := New(out)
		log.Warn("it stands still from here on")
		synctest.Wait()
		const n = 3 * mostLines / 1000
		filler := strings.Repeat("x", 1000)
		for i := range n {
			log.Error("line", "n", i, "filler", filler)
		}
		missing := int(Lost(log))
		if missing < n/2 || missing > n*3/4 {
			t.Errorf("%d of %d lines are lost", missing, n)
		}
		begin := time.Now()
		if stop(); time.Since(begin) != LastWrite {
			t.Errorf("the end waited %v", time.Since(begin))
		}
		close(out.still)
		synctest.Wait()
		text := out.String()
		if got := strings.Count(text, `"msg":"line"`); got != n-missing {
			t.Errorf("%d lines were written and %d lost, of %d", got, missing, n)
		}
		if last := fmt.Sprintf(`"msg":"%d log lines were lost: the log reader was stalled or gone","lines":%[1]d}`+"\n", missing); !strings.HasSuffix(text, last) {
			t.Errorf("it ends with %s", text[len(text)-200:])
		}
	})
}

// If the reader goes away, logging still does not fail. The next reader gets whole lines, and is
// told how many were lost.
func TestLogReaderGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &pipe{gone: true, left: 20}
		log, stop := New(out)
		say := func(text string) {
			log.Warn(text)
			synctest.Wait()
		}
		say("one") // 20 bytes of it are accepted
		say("two")
		if n := Lost(log); n != 2 {
			t.Errorf("%v lines are lost, want 2", n)
		}
		out.gone = false
		say("three")
		say("four")
		stop()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 4 || len(lines[0]) != 20 {
			t.Fatalf("lines %q", lines)
		}
		for i, want := range []string{"three", "2 log lines were lost", "four"} {
			if !json.Valid([]byte(lines[i+1])) || !strings.Contains(lines[i+1], want) {
				t.Errorf("line %d is %s, want %s", i+1, lines[i+1], want)
			}
		}
	})
}
