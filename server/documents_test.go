package server

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The pages are complete and need no other host and no key: every file that they reference is
// served.
func TestPage(t *testing.T) {
	s := start(t, func(c *Config) { c.Keys = []string{"key"} })
	for _, path := range []string{"/", "/docs"} {
		page := ask(s, "GET", path, nil)
		if policy := page.Header().Get("Content-Security-Policy"); page.Code != 200 || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: status %d, policy %q", path, page.Code, policy)
		}
		named := regexp.MustCompile(`(?:src|href)="([^"#]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
		if len(named) < 4 {
			t.Errorf("%s names only %v", path, named)
		}
		for _, n := range named {
			path, ok := strings.CutPrefix(n[1], "./") // relative, for proxies that add a path prefix
			if w := ask(s, "GET", "/"+path, nil); !ok || w.Code != 200 || w.Body.Len() == 0 {
				t.Errorf("%s: %d, %d bytes", n[1], w.Code, w.Body.Len())
			}
		}
	}
}

// The document and the pages can be cached, and revalidation returns 304.
func TestDocumentsAreKept(t *testing.T) {
	s := start(t, nil)
	for _, path := range []string{"/", "/page/main.js", "/openapi.json", "/docs", "/docs/docs.js", "/docs/swagger-ui.css"} {
		tag := ask(s, "GET", path, nil).Header().Get("ETag")
		w := ask(s, "GET", path, nil, "If-None-Match", `"other", W/`+tag)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	plain, packed := ask(s, "GET", "/docs/swagger-ui.css", nil), ask(s, "GET", "/docs/swagger-ui.css", nil, "Accept-Encoding", "br, gzip")
	file, err := unpacked(packed.Body.Bytes())
	if err != nil || string(file) != plain.Body.String() || packed.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Errorf("packed and plain differ, or have one name: %v", err)
	}
}
