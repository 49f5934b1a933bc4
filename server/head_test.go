package server

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// On all routes HEAD is answered like GET, without the body.
func TestHead(t *testing.T) {
	s, _ := indexed(t, nil)
	for name, handler := range map[string]http.Handler{"API": s.Handler(), "operations": s.operations()} {
		h := httptest.NewServer(handler)
		defer h.Close()
		send := func(method, path string) (r *http.Response, body string) {
			t.Helper()
			request, err := http.NewRequest(method, h.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r, err = http.DefaultClient.Do(request); err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return r, string(text)
		}
		for _, route := range slices.Sorted(maps.Keys(contractOf(t).operations())) {
			method, path, _ := strings.Cut(route, " ")
			path = strings.NewReplacer("{model}", "backbone", "{asset}", "page.css", "{id}", "a").Replace(path)
			if method != "GET" || strings.Contains(path, "{") {
				continue
			}
			get, _ := send("GET", path)
			head, body := send("HEAD", path)
			if head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || body != "" {
				t.Errorf("%s: HEAD %s: %d %s %q, and GET %d %s", name, path, head.StatusCode, head.Header.Get("Content-Type"), body, get.StatusCode, get.Header.Get("Content-Type"))
			}
		}
		if r, _ := send("POST", "/metrics"); r.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(r.Header.Get("Allow"), "HEAD") {
			t.Errorf("%s: POST /metrics: %d, Allow %s", name, r.StatusCode, r.Header.Get("Allow"))
		}
	}
	if w := ask(s, "HEAD", "/embed", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("HEAD of a path that takes no GET: %d", w.Code)
	}
}
