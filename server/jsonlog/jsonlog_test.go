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

// page is what was written, for many goroutines.
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

// Lines come in order: soon, sooner with a warning, and all at the end.
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

// No control character gets into the log as it is, also of those that JSON lets through.
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

// pipe is a writer whose reader can stand still, or leave.
type pipe struct {
	page
	still chan struct{} // closed when the reader goes on; nil when it does
	left  int           // bytes that are taken before the reader is gone
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

// A reader that stands still holds up nobody, not even the end. When it goes on it has
// what there was room for, and is told how many lines it has not.
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
		if last := fmt.Sprintf(`"msg":"%d lines of the log were lost: whoever reads it stood still or was gone","lines":%[1]d}`+"\n", missing); !strings.HasSuffix(text, last) {
			t.Errorf("it ends with %s", text[len(text)-200:])
		}
	})
}

// A reader that goes away is no error to those who log. Another one is told what is
// lost, on lines that are whole.
func TestLogReaderGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &pipe{gone: true, left: 20}
		log, stop := New(out)
		say := func(text string) {
			log.Warn(text)
			synctest.Wait()
		}
		say("one") // of which 20 bytes are taken
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
		for i, want := range []string{"three", "2 lines of the log were lost", "four"} {
			if !json.Valid([]byte(lines[i+1])) || !strings.Contains(lines[i+1], want) {
				t.Errorf("line %d is %s, want %s", i+1, lines[i+1], want)
			}
		}
	})
}
