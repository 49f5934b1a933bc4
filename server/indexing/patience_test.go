package indexing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hear makes a client of a server at address that records waits instead of sleeping, and what it
// says on stderr.
func hear(t *testing.T, address string) (*client, *[]time.Duration, *bytes.Buffer) {
	t.Helper()
	said := &bytes.Buffer{}
	c, err := newClient(address, "", said)
	if err != nil {
		t.Fatal(err)
	}
	waits := &[]time.Duration{}
	c.pause = func(_ context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return nil
	}
	return c, waits, said
}

// A server that is away is waited for, for as long as one that is overloaded, and the last word
// says what to do.
func TestClientWaitsForAServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, waits, said := hear(t, s.URL)
	err := c.ask(t.Context(), "GET", "info", nil, nil, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "cannot reach "+s.URL+": dial tcp ") ||
		!strings.Contains(err.Error(), "connection refused; given up after ") || !strings.HasSuffix(err.Error(), ": when the server is there again, give the same command") {
		t.Errorf("got %v", err)
	}
	var all time.Duration
	for _, d := range *waits {
		all += d
	}
	if all > patience || all < patience/2 {
		t.Errorf("waited %v in all", all)
	}
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "waiting up to 10m0s for the server at "+s.URL+": dial tcp ") {
		t.Errorf("said %q", text)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.ask(ctx, "GET", "info", nil, nil, nil); err == nil || strings.Contains(err.Error(), "given up") {
		t.Errorf("interrupted: %v", err)
	}
}

// hangUp ends a connection without an answer, or amid one.
func hangUp(t *testing.T, w http.ResponseWriter, how string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	switch how {
	case "reset":
		err = conn.(*net.TCPConn).SetLinger(0)
	case "amid":
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
	}
	if err != nil {
		t.Error(err)
	}
	conn.Close()
}

// Whatever shows of a restart, the request is sent again.
func TestClientSurvivesRestarts(t *testing.T) {
	for how, about := range map[string]string{"end": "EOF", "reset": "connection reset by peer", "amid": "unexpected EOF",
		"loading": "the server refused the request: soon (503)", "proxy": "the server refused the request: soon (502)"} {
		failures := 3
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != `"x"` {
				t.Errorf("%s: the body is %q, %v", how, body, err)
			}
			switch failures--; {
			case failures < 0:
				io.WriteString(w, "true")
			case how == "loading":
				refuse(w, 503, "soon")
			case how == "proxy":
				refuse(w, 502, "soon")
			default:
				hangUp(t, w, how)
			}
		}))
		defer s.Close()
		c, waits, said := hear(t, s.URL)
		got := false
		if err := c.ask(t.Context(), "POST", "items", nil, "x", &got); err != nil || !got {
			t.Errorf("%s: %v", how, err)
		}
		if !slices.Equal(*waits, slices.Repeat([]time.Duration{pauseBetween}, 3)) {
			t.Errorf("%s: waited %v", how, *waits)
		}
		first, then, _ := strings.Cut(said.String(), "\n")
		if !strings.HasPrefix(first, "waiting up to 10m0s for the server at "+s.URL+": ") || !strings.HasSuffix(first, about) || then != "the server at "+s.URL+" answers again\n" {
			t.Errorf("%s: said %q", how, said)
		}
	}
}

// What a restart does not mend is not waited for, and neither is a busy server spoken of.
func TestClientDoesNotWaitInVain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
			conn.Close()
		}
	}()
	c, waits, said := hear(t, "http://"+l.Addr().String())
	if err := c.ask(t.Context(), "GET", "info", nil, nil, nil); err == nil || len(*waits) > 0 || said.Len() > 0 {
		t.Errorf("no HTTP: %v after %d waits, and said %q", err, len(*waits), said)
	}
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, 429, "busy") }))
	defer busy.Close()
	c, waits, said = hear(t, busy.URL)
	err = c.ask(t.Context(), "GET", "info", nil, nil, nil)
	if err == nil || err.Error() != "the server refused the request: busy (429); given up after 10m0s" || len(*waits) != 600 || said.Len() > 0 {
		t.Errorf("busy: %v after %d waits, and said %q", err, len(*waits), said)
	}
}

// Two requests at a time over TLS take HTTP/1.1, whose errors tell a restart.
func TestClientSpeaksHTTP1(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c, _, _ := hear(t, s.URL)
	c.http.Transport.(*http.Transport).TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	proto := ""
	if err := c.ask(t.Context(), "GET", "info", nil, nil, &proto); err != nil || proto != "HTTP/1.1" {
		t.Errorf("%s, %v", proto, err)
	}
}

// piped lets a client reach a handler through memory, so that a test's clock is all that passes.
type piped struct {
	conns chan net.Conn
	once  sync.Once
}

func (p *piped) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p *piped) Close() error   { p.once.Do(func() { close(p.conns) }); return nil }
func (p *piped) Addr() net.Addr { return &net.UnixAddr{} }

// pipe starts a server in memory and returns its client, on the clock of the bubble. leave ends
// both.
func pipe(t *testing.T, h http.HandlerFunc) (c *client, said *bytes.Buffer, leave func()) {
	t.Helper()
	c, _, said = hear(t, "http://server")
	c.pause = pause
	p := &piped{conns: make(chan net.Conn)}
	tr := c.http.Transport.(*http.Transport)
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		mine, its := net.Pipe()
		p.conns <- its
		return mine, nil
	}
	s := &http.Server{Handler: h}
	go s.Serve(p)
	return c, said, func() {
		tr.CloseIdleConnections()
		s.Close()
	}
}

// A server that accepts requests and says nothing is given up, later than the longest of its
// legitimate answers would take, and not before it has been tried again.
func TestClientGivesUpASilentServer(t *testing.T) {
	for deadline, c := range map[float64]struct {
		asked int
		took  time.Duration
	}{
		0:     {4, 4*leastSilence + 3*pauseBetween},
		30:    {4, 4*leastSilence + 3*pauseBetween},
		300:   {1, 15 * time.Minute},
		1e300: {1, 72 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			client, said, leave := pipe(t, func(_ http.ResponseWriter, r *http.Request) {
				asked++
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
			client.expect(deadline)
			begin := time.Now()
			var body any
			if deadline > 0 {
				body = "x"
			}
			err := client.ask(t.Context(), "POST", "items", nil, body, nil)
			took := time.Since(begin)
			leave()
			want := fmt.Sprintf("cannot reach http://server: the server is silent for %v; given up after %v: when the server is there again, give the same command", client.silence, c.took)
			if err == nil || err.Error() != want {
				t.Errorf("a deadline of %v s: %v, want %s", deadline, err, want)
			}
			if asked != c.asked || took != c.took {
				t.Errorf("a deadline of %v s: asked %d times in %v, want %d in %v", deadline, asked, took, c.asked, c.took)
			}
			if heard := strings.Contains(said.String(), "the server is silent for 3m0s\n"); heard != (c.asked > 1) {
				t.Errorf("a deadline of %v s: said %q", deadline, said)
			}
		})
	}
}

// A server that stays busy is given up after the same time, of which the requests that it refuses
// take their part: here 20 seconds each.
func TestClientGivesUpABusyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, leave := pipe(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(20 * time.Second)
			w.Header().Set("Retry-After-Ms", "50")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		begin := time.Now()
		err := client.ask(t.Context(), "POST", "items", nil, "x", nil)
		took := time.Since(begin)
		leave()
		if err == nil || took > patience+time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A request is not cut off however long it takes, as long as something moves: here its body and
// its answer for an hour each.
func TestClientBearsSlowness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces, size = 60, 64 << 10 // of a body, more than any buffer holds
		asked := 0
		c, said, leave := pipe(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			for piece := make([]byte, size); ; time.Sleep(time.Minute) {
				if _, err := io.ReadFull(r.Body, piece); err != nil {
					break
				}
			}
			for range pieces {
				time.Sleep(time.Minute)
				io.WriteString(w, " ")
				http.NewResponseController(w).Flush()
			}
			io.WriteString(w, "true")
		})
		begin, got := time.Now(), false
		err := c.ask(t.Context(), "POST", "items", nil, strings.Repeat("x", pieces*size), &got)
		took := time.Since(begin)
		leave()
		if err != nil || !got || asked != 1 || said.Len() > 0 {
			t.Errorf("%v after %d requests, and said %q", err, asked, said)
		}
		if took < 2*(pieces-1)*time.Minute {
			t.Errorf("it took only %v", took)
		}
	})
}

// Each kind of request loses its first answer after the server has done its part: nothing is
// lost, done twice or counted wrong.
func TestRemoteRepeatsWhatItAsks(t *testing.T) {
	items, lost := map[string]bool{"a": true, "b": true}, map[string]bool{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		id := strings.TrimPrefix(r.URL.Path, "/items/")
		switch {
		case r.URL.Path == "/info":
			io.WriteString(answer, `{"fingerprint":"f00d","dim":3,"limits":{"body_bytes":4000,"images":5,"deadline_seconds":100},"index":{"fingerprint":"f00d","similarity":"cosine"}}`)
		case r.Method == "POST":
			items["c"] = true
			taken(answer, []entry{{ID: "c"}}, nil)
		case r.Method == "GET" && r.URL.Path == "/items":
			io.WriteString(answer, `{"total":1,"data":[{"id":"a"}],"next":null}`)
		case !items[id]:
			refuse(answer, 404, "gone")
		case r.Method == "DELETE":
			delete(items, id)
		default:
			io.WriteString(answer, `{"vector":[1,2,3]}`)
		}
		if what := r.Method + r.URL.Path; id != "none" && !lost[what] {
			lost[what] = true
			hangUp(t, w, "end")
			return
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}))
	defer s.Close()
	c, waits, _ := hear(t, s.URL)
	r, err := connect(t.Context(), c, "n")
	if err != nil || c.silence != 300*time.Second {
		t.Fatalf("silence of %v, %v", c.silence, err)
	}
	if bad, err := r.put(t.Context(), []entry{{ID: "c", Vector: []float32{1, 2, 3}}}); err != nil || !slices.Equal(bad, []string{""}) {
		t.Errorf("put: %q, %v", bad, err)
	}
	if all, err := r.known(t.Context(), func(int, int) {}); err != nil || len(all) != 1 {
		t.Errorf("known: %v, %v", all, err)
	}
	if v, err := r.vector(t.Context(), "b"); err != nil || !slices.Equal(v, []float32{1, 2, 3}) {
		t.Errorf("vector: %v, %v", v, err)
	}
	if n, err := r.remove(t.Context(), []string{"b", "none"}); err != nil || n != 1 || items["b"] {
		t.Errorf("removed %d, %v; left %v", n, err, items)
	}
	if len(lost) != 5 || len(*waits) == 0 || !items["c"] {
		t.Errorf("lost the answers of %v in %d waits", lost, len(*waits))
	}
}

// The commands say on their standard error that they wait.
func TestCommandsSayThatTheyWait(t *testing.T) {
	dir := colours(t, 1)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("k\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"add", dir}, {"remove", "a"}} {
		first := true
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if first {
				first = false
				w.Header().Set("Retry-After-Ms", "1")
				refuse(w, 503, "the index is being loaded")
				return
			}
			refuse(w, 500, "no")
		}))
		var heard bytes.Buffer
		err := Index(t.Context(), append(args, "--server", s.URL, "--api-key-file", keys), io.Discard, &heard)
		s.Close()
		if err == nil || heard.String() != "waiting up to 10m0s for the server at "+s.URL+": the server refused the request: the index is being loaded (503)\nthe server at "+s.URL+" answers again\n" {
			t.Errorf("%s: %v, and said %q", args[0], err, heard.String())
		}
	}
}
