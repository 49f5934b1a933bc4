package server

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

func TestProbes(t *testing.T) {
	s := start(t, nil)
	for path, want := range map[string]string{"/livez": `"alive":true`, "/readyz": `"ready":true`, "/info": `"fingerprint"`, "/metrics": "vicreg_queue_depth 0"} {
		if w := ask(s, "GET", path, nil); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png")
	ask(s, "POST", "/embed", nil, "Content-Type", "image/png")
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{`vicreg_requests_total{code="200",route="/embed"} 1`, `vicreg_requests_total{code="422",route="/embed"} 1`, `vicreg_rejected_total{reason="bad-image"} 1`, "vicreg_images_total 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if w := ask(s, "HEAD", "/readyz", nil); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequest("POST", "/embed", bytes.NewReader(servertest.Photo(t, 9))).WithContext(gone)
	r.Header.Set("Content-Type", "image/png")
	w := httptest.NewRecorder()
	if s.Handler().ServeHTTP(w, r); w.Code != 499 {
		t.Errorf("a client who left: %d", w.Code)
	}
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png", "Content-Encoding", "gzip"); w.Code != 415 {
		t.Errorf("compressed: %d", w.Code)
	}
	end := s.play(played{age: 2 * canaryStale})
	if w := ask(s, "GET", "/livez", nil); w.Code != 503 {
		t.Errorf("with an old canary: %d", w.Code)
	}
	end()
	s.stopping.Store(true)
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != 200 {
		t.Errorf("before the listener is closed: %d", w.Code)
	}
	s.draining.Store(true)
	for _, c := range [][2]string{{"GET", "/readyz"}, {"POST", "/embed"}} {
		if w := ask(s, c[0], c[1], nil); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s while stopping: %d", c[1], w.Code)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	s := start(t, nil)
	for sent, keep := range map[string]bool{"abc-1": true, "": false, "with space": false, strings.Repeat("x", 200): false} {
		got := ask(s, "GET", "/livez", nil, "X-Request-Id", sent).Header().Get("X-Request-Id")
		if got == "" || (got == sent) != keep {
			t.Errorf("%q: got %q", sent, got)
		}
	}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if got := ask(s, "GET", "/livez", nil, "traceparent", trace).Header().Get("traceparent"); got != trace {
		t.Errorf("traceparent %q", got)
	}
}
