package server

import (
	"bytes"
	"strings"
	"sync"
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

// Lines come in order: soon, at once with a warning, and all at the end.
func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		count := func() int { return strings.Count(out.String(), "\n") }
		log, stop := newLogger(&out)
		log.Info("one")
		if synctest.Wait(); count() != 0 {
			t.Error("a line was written alone")
		}
		time.Sleep(logEvery)
		if synctest.Wait(); count() != 1 {
			t.Errorf("%d lines after a while, want 1", count())
		}
		log.Info("two")
		if log.With("a", 1).WithGroup("g").Warn("three", "b", 2); count() != 3 || !strings.Contains(out.String(), `"a":1,"g":{"b":2}`) {
			t.Errorf("with a warning: %s", &out)
		}
		log.Info("four")
		if stop(); count() != 4 || !strings.Contains(out.String(), "four") {
			t.Errorf("at the end: %s", &out)
		}
	})
}
