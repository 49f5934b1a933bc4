package server

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener with in-memory connections, so that their deadlines run on a synctest
// bubble's fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	typing sync.WaitGroup // clients that write slowly
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// inBubble runs a server with settings modified by change, in a synctest bubble. There is no model,
// so requests must end before one is needed.
func inBubble(t *testing.T, change func(*Config), f func(t *testing.T, p *pipes)) {
	bubbleOf(t, absent{}, change, f)
}

// bubbleOf is inBubble with a model. Its server takes HTTP/2 without TLS, too.
func bubbleOf(t *testing.T, e embedder, change func(*Config), f func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		config := Defaults(2)
		if change != nil {
			change(&config)
		}
		s := New(nil, config, slog.New(slog.DiscardHandler))
		s.engine = e
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		h := s.httpServer(s.handler)
		h.Protocols = new(http.Protocols)
		h.Protocols.SetHTTP1(true)
		h.Protocols.SetUnencryptedHTTP2(true)
		ended := make(chan error)
		go func() { ended <- h.Serve(p) }()
		f(t, p)
		h.Close()
		<-ended
		p.typing.Wait()
		if all := bodiesAtOnce * config.MaxBody; !s.bodies.TryAcquire(all) {
			t.Error("room is not given back")
		}
	})
}

// trickle writes text and then a piece every second, until the connection is closed.
func (p *pipes) trickle(conn net.Conn, text, piece string) {
	p.typing.Go(func() {
		for _, err := io.WriteString(conn, text); err == nil; _, err = io.WriteString(conn, piece) {
			time.Sleep(time.Second)
		}
	})
}

// A body that is slower than the minimum rate is aborted long before the deadline; one that keeps
// the rate has until the deadline.
func TestTrickle(t *testing.T) {
	const head = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	spaces := func(n int) string { return strings.Repeat(" ", n) }
	for name, c := range map[string]struct {
		headers, piece string
		status         int
		from, to       time.Duration
	}{
		"nothing":              {"Content-Length: 1000\r\n\r\n", "", 408, 5 * time.Second, 5 * time.Second},
		"10 bytes/s":           {"Content-Length: 1000\r\n\r\n", spaces(10), 408, 5 * time.Second, 6 * time.Second},
		"10 bytes/s in chunks": {"Transfer-Encoding: chunked\r\n\r\n", "a\r\n" + spaces(10) + "\r\n", 408, 5 * time.Second, 6 * time.Second},
		"90 bytes/s":           {"Content-Length: 3000\r\n\r\n", spaces(90), 408, 30 * time.Second, 30 * time.Second},  // the deadline comes before the rate limit, at 50 s
		"110 bytes/s":          {"Content-Length: 2200\r\n\r\n", spaces(110), 400, 20 * time.Second, 20 * time.Second}, // the body is complete, but blank
	} {
		inBubble(t, func(c *Config) { c.MinRate = 100 }, func(t *testing.T, p *pipes) {
			conn := p.dial()
			begin := time.Now()
			p.trickle(conn, head+c.headers, c.piece)
			w, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if took := time.Since(begin); w.StatusCode != c.status || took < c.from || took > c.to {
				t.Errorf("%s: %s after %v, want %d", name, w.Status, took, c.status)
			}
			conn.Close()
		})
	}
}

// A client that sends headers endlessly is cut off after 5 s without an answer, and others are
// served meanwhile.
func TestSlowHeaders(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for done := false; !done; {
			if w := ask(s, "POST", "/embed", probe.image, "Content-Type", "image/png"); w.Code != 200 {
				t.Errorf("beside slow clients: %d %s", w.Code, w.Body)
			}
			select {
			case <-stop:
				done = true
			default:
			}
		}
	})
	unload := sync.OnceFunc(func() {
		close(stop)
		load.Wait()
	})
	defer unload()
	inBubble(t, nil, func(t *testing.T, p *pipes) {
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				conn := p.dial()
				begin := time.Now()
				p.trickle(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", "x")
				answer, err := io.ReadAll(conn)
				if took := time.Since(begin); len(answer) > 0 || err != nil || took != 5*time.Second {
					t.Errorf("%q, %v after %v", answer, err, took)
				}
				conn.Close()
			})
		}
		clients.Wait()
	})
	unload()
	probe.check(t, s, "slow headers")
}

// A client that does not read its answer holds its connection for twice the deadline.
func TestSlowReader(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, p *pipes) {
		conn := p.dial()
		io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		time.Sleep(2*Defaults(2).Deadline + time.Second)
		synctest.Wait()
		if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
			t.Errorf("%d bytes, %v: it is still there", len(answer), err)
		}
	})
}

// The same over HTTP/2, where one connection carries many bodies: each has its own deadline.
func TestSlowBodyHTTP2(t *testing.T) {
	s := small(t, func(c *Config) { c.Deadline = 300 * time.Millisecond })
	h := httptest.NewUnstartedServer(s.Handler())
	h.EnableHTTP2 = true
	h.StartTLS()
	defer h.Close()
	body, hold := io.Pipe()
	defer hold.Close()
	r, err := http.NewRequest("POST", h.URL+"/embed", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "image/png")
	w, err := h.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if w.StatusCode != 408 || w.ProtoMajor != 2 {
		t.Errorf("%s %s", w.Proto, w.Status)
	}
	good, err := h.Client().Post(h.URL+"/v1/embeddings", "", strings.NewReader("{"))
	if err != nil {
		t.Fatal(err)
	}
	good.Body.Close()
	if good.StatusCode != 400 {
		t.Errorf("the next request of the connection: %s", good.Status)
	}
}
