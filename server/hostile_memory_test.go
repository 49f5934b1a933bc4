package server

import (
	"bytes"
	"io"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"

	"vicreg/server/servertest"
)

// held is a body that blocks before its end until it is released.
type held struct {
	start io.Reader
	there *sync.WaitGroup // done once the start has been read
	once  sync.Once
	end   chan struct{} // closed to release it
}

func (h *held) Read(p []byte) (int, error) {
	if n, err := h.start.Read(p); err == nil {
		return n, nil
	}
	h.once.Do(h.there.Done)
	<-h.end
	return 0, io.EOF
}

// When more large bodies arrive at once than the budget allows, the excess is rejected as the bytes
// come; the others are answered, and then the whole budget is free again.
func TestManyLargeBodies(t *testing.T) {
	const most, clients = 1 << 20, 24
	s := small(t, func(c *Config) { c.MaxBody = most })
	probe := newProbe(t, s)
	var before, full runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	send := func(path, kind string, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, body)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	end := make(chan struct{})
	var there, first, others sync.WaitGroup
	there.Add(bodiesAtOnce)
	for range bodiesAtOnce {
		first.Go(func() {
			body := &held{start: io.LimitReader(spaces{}, most), there: &there, end: end}
			if w := send("/embed", "image/png", body); w.Code != 422 {
				t.Errorf("one of the first: %d %s", w.Code, w.Body)
			}
		})
	}
	there.Wait() // the budget is used up to the last byte
	for i := range clients {
		others.Go(func() {
			e := endpoints[i%len(endpoints)]
			kind := []string{"application/json", "application/octet-stream"}[i%2]
			if e.path == "/items" {
				kind = "application/json" // /items does not accept a bare image
			}
			w := send(e.path, kind, io.LimitReader(spaces{}, most))
			if documented(t, w, "POST", e.path); w.Code != 429 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s, %s: %d %s", e.path, kind, w.Code, w.Body)
			}
		})
	}
	others.Wait()
	runtime.GC()
	runtime.ReadMemStats(&full)
	if grown := int(full.HeapAlloc) - int(before.HeapAlloc); grown > 3*bodiesAtOnce*most {
		t.Errorf("%d bytes are taken for bodies of %d", grown, bodiesAtOnce*most)
	}
	if w := ask(s, "GET", "/livez", nil); w.Code != 200 {
		t.Errorf("a probe meanwhile: %d", w.Code)
	}
	close(end)
	first.Wait()
	probe.check(t, s, "many large bodies")
}

// spaces is an endless stream of spaces.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// Bodies that are aborted halfway, rejected or malformed release their memory budget too.
func TestRoomComesBack(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	body, kind := form(t, servertest.Photo(t, 0), servertest.Photo(t, 1))
	for _, c := range []struct{ path, kind string }{{"/embed", "image/png"}, {"/embed", kind}, {"/embed", "application/json"}, {"/v1/embeddings", ""}, {"/v2/models/backbone/infer", ""},
		{"/similar", "image/png"}, {"/similar", kind}, {"/similar", "application/json"}, {"/items", kind}, {"/items", "application/json"}} {
		for n := 0; n <= len(body); n += 100 {
			r := httptest.NewRequest("POST", c.path, io.MultiReader(bytes.NewReader(body[:n]), iotest.ErrReader(io.ErrUnexpectedEOF)))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if documented(t, w, "POST", c.path); w.Code != 400 {
				t.Errorf("%s, %s broken off at %d: %d %s", c.path, c.kind, n, w.Code, w.Body)
			}
		}
		probe.check(t, s, c.path)
	}
}
