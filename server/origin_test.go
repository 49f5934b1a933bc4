package server

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// askFor is ask with a Host header.
func askFor(s *Server, host, method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Host = host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// Requests that a browser sends for a page of another site neither change anything nor take up the
// model's time, on any route; those of other programs and of the server's own pages work.
func TestPagesOfOthers(t *testing.T) {
	s, m := indexed(t, nil)
	const host = "localhost:8080"
	evil := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}
	photo := servertest.Photo(t, 0)
	files, kind := form(t, photo)
	for name, c := range map[string]struct{ method, path, kind string }{
		"items":     {"POST", "/items", kind}, // a form, which needs no CORS preflight
		"similar":   {"POST", "/similar", kind},
		"embed":     {"POST", "/embed", kind},
		"put":       {"PUT", "/items/a", "image/png"},
		"delete":    {"DELETE", "/items/a", ""},
		"openai":    {"POST", "/v1/embeddings", "text/plain"},
		"inference": {"POST", "/v2/models/backbone/infer", "text/plain"},
	} {
		w := askFor(s, host, c.method, c.path, files, append(evil, "Content-Type", c.kind)...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `a page of another site, \"https://evil.example\"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for name, headers := range map[string][]string{
		"older browser":         {"Origin", "https://evil.example"},
		"sandboxed page":        {"Origin", "null"},
		"other port":            {"Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"},
		"other port, older":     {"Origin", "http://localhost:3000"},
		"link without a source": {"Sec-Fetch-Site", "cross-site"},
	} {
		told(t, name, askFor(s, host, "PUT", "/items/a", photo, append(headers, "Content-Type", "image/png")...), 403, problem.Forbidden, "another site")
	}
	if m.Len() != 0 {
		t.Fatalf("%d items were stored", m.Len())
	}
	for name, headers := range map[string][]string{
		"program":                 nil,
		"own page":                {"Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"},
		"own page, older browser": {"Origin", "http://localhost:8080"},
		"own page through TLS":    {"Origin", "https://localhost:8080", "Sec-Fetch-Site", "same-origin"},
		"behind a proxy":          {"Origin", "https://photos.example", "Sec-Fetch-Site", "same-origin"},
		"typed in":                {"Sec-Fetch-Site", "none"},
	} {
		if w := askFor(s, host, "PUT", "/items/a", photo, append(headers, "Content-Type", "image/png")...); w.Code/100 != 2 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := askFor(s, host, "GET", "/items/a", nil, evil...); w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("reading, which the page does not see: %d %v", w.Code, w.Header())
	}
}

// No browser sends keys unasked: with keys, the origin does not matter.
func TestPagesOfOthersWithAKey(t *testing.T) {
	s, _ := indexed(t, func(c *Config) { c.Keys = []string{"key"} })
	photo := servertest.Photo(t, 0)
	headers := []string{"Origin", "https://app.example", "Sec-Fetch-Site", "cross-site", "Content-Type", "image/png"}
	told(t, "no key", askFor(s, "api.example", "PUT", "/items/a", photo, headers...), 401, problem.Unauthorized, "Bearer")
	if w := askFor(s, "api.example", "PUT", "/items/a", photo, append(headers, "Authorization", "Bearer key")...); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A server on localhost answers only to its own names, so DNS rebinding gets a page nothing. Routes
// without secrets are open to all.
func TestOtherHosts(t *testing.T) {
	f := &serveFlags{addr: "photos.internal:8080", host: "photos.example, [2001:db8::1]"}
	if err := f.readHosts(); err != nil {
		t.Fatal(err)
	}
	s, m := indexed(t, func(c *Config) {
		c.Hosts, c.Names = f.Hosts, f.known(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	})
	if w := askFor(s, "localhost", "PUT", "/items/a", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != 201 {
		t.Fatal(w.Body)
	}
	own := []string{"Sec-Fetch-Site", "same-origin"} // as the browser sees it
	for _, r := range []string{"GET /items", "GET /items/a", "GET /items/a/thumbnail", "GET /namespaces", "GET /info", "POST /similar", "POST /embed", "DELETE /items/a"} {
		method, path, _ := strings.Cut(r, " ")
		for _, host := range []string{"evil.example:8080", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example"} {
			told(t, r+" "+host, askFor(s, host, method, path, nil, own...), 403, problem.Forbidden, `the request is for the host "`+host+`"`)
		}
	}
	if m.Len() != 1 {
		t.Fatal("the item is gone")
	}
	for _, host := range []string{"localhost", "localhost:8080", "LocalHost.:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "photos.internal:8080", "photos.example", "[2001:DB8::1]:80", "192.0.2.1", ""} {
		if w := askFor(s, host, "GET", "/items/a", nil); w.Code != 200 {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/v2/health/live"} {
		if w := askFor(s, "10.0.0.1:8080", "GET", path, nil); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	// A proxy may replace the browser's Host header. Older browsers, and any without TLS, send no
	// Sec-Fetch-Site to show that the origin is the server's own.
	if w := askFor(s, "localhost:8080", "DELETE", "/items/a", nil, "Origin", "http://photos.example:81"); w.Code != 204 {
		t.Errorf("a page of --host: %d %s", w.Code, w.Body)
	}
}

// The accepted host names follow from the listening address.
func TestNames(t *testing.T) {
	for at, want := range map[string][]string{
		"127.0.0.1:8080":   {"localhost", "name"},
		"[::1]:8080":       {"localhost", "name"},
		"0.0.0.0:8080":     nil,
		"[::]:8080":        nil,
		"192.168.0.1:8080": nil,
	} {
		addr, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&serveFlags{addr: "Name:8080"}).known(addr); !slices.Equal(got, want) {
			t.Errorf("%s: %q", at, got)
		}
		if got, want := (&serveFlags{addr: ":8080", Config: Config{Hosts: []string{"photos.example"}}}).known(addr), []string{"localhost", "", "photos.example"}; !slices.Equal(got, want) {
			t.Errorf("%s with --host: %q", at, got)
		}
		if got := (&serveFlags{addr: at, Config: Config{Keys: []string{"key"}}}).known(addr); got != nil {
			t.Errorf("%s with a key: %q", at, got)
		}
	}
	for _, host := range []string{"https://photos.example", "photos.example:80", "a,,b", "*.example", "a b", ","} {
		if err := (&serveFlags{host: host}).readHosts(); err == nil || !strings.Contains(err.Error(), "want comma-separated host names") {
			t.Errorf("--host %q: %v", host, err)
		}
	}
	if err := (&serveFlags{host: "a", keyFile: "keys"}).readHosts(); err == nil || !strings.Contains(err.Error(), "--host is for servers without API keys") {
		t.Error(err)
	}
}
