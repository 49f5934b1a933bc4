package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// listen serves s on a loopback address until the test ends.
func listen(t *testing.T, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := s.httpServer(s.handler)
	ended := make(chan error)
	go func() { ended <- h.Serve(l) }()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return l.Addr().String()
}

// dial opens a connection that is closed when the test ends.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// answers sends text on a new connection and reads n answers. cut half-closes the connection after
// the text, which net/http takes for a client that has disconnected.
func answers(t *testing.T, addr, text string, cut bool, n int) (out []*http.Response, bodies []string) {
	t.Helper()
	conn := dial(t, addr)
	go func() {
		io.WriteString(conn, text) // a write error is expected if the server rejects the text
		if cut {
			conn.CloseWrite()
		}
	}()
	r := bufio.NewReader(conn)
	for range n {
		w, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d to %.60q: %v", len(out), text, err)
		}
		body, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatalf("answer %d to %.60q: %v", len(out), text, err)
		}
		out, bodies = append(out, w), append(bodies, string(body))
	}
	return out, bodies
}

// Errors before a request has reached the handler are answered by net/http, in plain text; errors
// in its body are answered in the API's format. Either way the server keeps working.
func TestHostileRequests(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	addr := listen(t, s)
	photo := string(servertest.Photo(t, 0))
	post := func(headers, body string) string {
		return "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n" + headers + "\r\n" + body
	}
	chunked := "Transfer-Encoding: chunked\r\n"
	for name, c := range map[string]struct {
		text   string
		status int
		plain  bool
	}{
		"5,000 headers":                     {post(strings.Repeat("X-A: 0123456789\r\n", 5000), ""), 431, true},
		"a header of 1 MB":                  {post("X: "+strings.Repeat("x", 1<<20)+"\r\n", ""), 431, true},
		"a request line of 1 MB":            {"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, true},
		"a path of 60,000":                  {"GET /" + strings.Repeat("x", 60_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", 404, false},
		"no request":                        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, true}, // a TLS handshake
		"no host":                           {"GET / HTTP/1.1\r\n\r\n", 400, true},
		"two hosts":                         {"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, true},
		"a space in a header's name":        {"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400, true},
		"a folded header":                   {post("A: b\r\n c\r\nContent-Length: 3\r\n", "abc"), 422, false},
		"HTTP/3.0":                          {"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505, true},
		"two lengths":                       {post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400, true},
		"a length below zero":               {post("Content-Length: -3\r\n", "abc"), 400, true},
		"a length of 20 digits":             {post("Content-Length: 99999999999999999999\r\n", "abc"), 400, true},
		"an unknown coding":                 {post("Transfer-Encoding: gzip\r\n", "abc"), 501, true},
		"an unknown expectation":            {post("Expect: the-worst\r\nContent-Length: 3\r\n", "abc"), 417, true},
		"a length above the limit":          {post("Content-Length: 65537\r\n", strings.Repeat("x", 65537)), 413, false},
		"cut off before its length":         {post("Content-Length: 1000\r\n", "abc"), 400, false},
		"no length":                         {post("", photo), 422, false}, // an empty body, followed by garbage
		"chunks above the limit":            {post(chunked, strings.Repeat("1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n", 17)+"0\r\n\r\n"), 413, false},
		"cut off between chunks":            {post(chunked, "3\r\nabc\r\n"), 400, false},
		"a chunk without a size":            {post(chunked, "x\r\nabc\r\n0\r\n\r\n"), 400, false},
		"cut off in a chunk of a huge size": {post(chunked, "ffffffffffffffff\r\nabc\r\n"), 400, false},
		"a chunk of a huge comment":         {post(chunked, "3;"+strings.Repeat("x", 1<<16)+"\r\nabc\r\n0\r\n\r\n"), 400, false},
		"trailers of 1 MB":                  {post(chunked, "3\r\nabc\r\n0\r\n"+strings.Repeat("A: b\r\n", 1<<17)+"\r\n"), 400, false},
		"chunks and a length":               {post(chunked+"Content-Length: 3\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(photo), photo)), 200, false},
		"chunks":                            {post(chunked, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(photo), photo)), 200, false},
		"HTTP/1.0":                          {strings.Replace(post(fmt.Sprintf("Content-Length: %d\r\n", len(photo)), photo), "HTTP/1.1", "HTTP/1.0", 1), 200, false},
	} {
		got, bodies := answers(t, addr, c.text, strings.HasPrefix(name, "cut off"), 1)
		w := got[0]
		plain := w.Header.Get("X-Request-Id") == ""
		if w.StatusCode != c.status || plain != c.plain {
			t.Errorf("%s: %s, %v, %.200q; want %d", name, w.Status, w.Header, bodies[0], c.status)
		}
		if w.StatusCode != 200 && plain == strings.Contains(bodies[0], "urn:vicreg:problem:") {
			t.Errorf("%s: %s and %.200q", name, w.Status, bodies[0])
		}
		probe.check(t, s, name)
	}
}

// Pipelined requests on one connection are answered in order, each with its own answer; what
// follows a body that is longer than its Content-Length counts as another request, an invalid one.
func TestPipelinedRequests(t *testing.T) {
	s := small(t, nil)
	addr := listen(t, s)
	photo := string(servertest.Photo(t, 0))
	one := func(id, more string) string {
		return fmt.Sprintf("POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s%s", id, len(photo), photo, more)
	}
	got, bodies := answers(t, addr, one("a", "")+one("b", "")+"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-Id: c\r\n\r\n"+one("d", "and more\r\n\r\n"), false, 5)
	for i, id := range []string{"a", "b", "c", "d", ""} {
		want := 200
		if id == "" {
			want = 400
		}
		if got[i].StatusCode != want || got[i].Header.Get("X-Request-Id") != id {
			t.Errorf("answer %d: %s, id %q: %.100s", i, got[i].Status, got[i].Header.Get("X-Request-Id"), bodies[i])
		}
	}
	if bodies[0] != bodies[1] || bodies[0] != bodies[3] {
		t.Error("one request, several answers")
	}
}

// A client that expects 100 Continue gets it, or an error before it sends its body.
func TestExpectation(t *testing.T) {
	s := small(t, nil)
	addr := listen(t, s)
	photo := servertest.Photo(t, 0)
	for length, want := range map[int][]int{len(photo): {100, 200}, 1 << 20: {413}} {
		conn := dial(t, addr)
		fmt.Fprintf(conn, "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length)
		r := bufio.NewReader(conn)
		for _, status := range want {
			w, err := http.ReadResponse(r, nil)
			if err != nil || w.StatusCode != status {
				t.Fatalf("%d bytes: %+v, %v, want %d", length, w, err, status)
			}
			if status == 100 {
				conn.Write(photo)
			}
		}
	}
}

// Idle connections keep nobody out.
func TestIdleConnections(t *testing.T) {
	s := small(t, nil)
	addr := listen(t, s)
	for range 300 {
		dial(t, addr)
	}
	photo := string(servertest.Photo(t, 0))
	got, bodies := answers(t, addr, fmt.Sprintf("POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n%s", len(photo), photo), false, 1)
	if got[0].StatusCode != 200 {
		t.Errorf("%s %s", got[0].Status, bodies[0])
	}
}

// Made-up paths and methods do not add series to the metrics.
func TestMetricsStayFew(t *testing.T) {
	s := small(t, nil)
	count := func() int {
		return strings.Count(ask(s, "GET", "/metrics", nil).Body.String(), "vicreg_requests_total{")
	}
	ask(s, "GET", "/nothing", nil)
	ask(s, "GET", "/v2/models/x/versions/y", nil)
	ask(s, "PUT", "/v2/models/x/versions/y", nil)
	count() // from the next time on it counts itself
	before := count()
	for i := range 200 {
		ask(s, "GET", fmt.Sprintf("/nothing/%d", i), nil)
		ask(s, "GET", fmt.Sprintf("/v2/models/%d/versions/%d", i, i), nil)
		ask(s, "PUT", fmt.Sprintf("/v2/models/%d/versions/%d", i, i), nil)
		ask(s, fmt.Sprintf("M%d", i), "/nothing", nil)
	}
	if after := count(); after != before {
		t.Errorf("%d rows became %d", before, after)
	}
}
