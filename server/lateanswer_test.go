package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vicreg/pipeline/encoder"
	"vicreg/server/engine"
	"vicreg/server/request"
)

// overloaded is a model whose images take so long that the deadline passes by far: what has begun
// is not interrupted.
type overloaded struct{ absent }

func (overloaded) Metadata() *encoder.Metadata { return &encoder.Metadata{} }

func (overloaded) Embed(ctx context.Context, _ []request.Image, _ bool) (*engine.Result, error) {
	time.Sleep(time.Minute)
	return &engine.Result{}, ctx.Err()
}

// An answer arrives however late it is: only from its beginning on does the time to write it run.
func TestLateAnswer(t *testing.T) {
	for name, use := range map[string]func(*http.Protocols){
		"HTTP/1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		bubbleOf(t, overloaded{}, func(c *Config) { c.Deadline = 200 * time.Millisecond }, func(t *testing.T, p *pipes) {
			by := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}
			defer by.CloseIdleConnections()
			use(by.Protocols)
			for range 2 { // on one connection
				w, err := (&http.Client{Transport: by}).Post("http://x/embed", "image/png", strings.NewReader("an image"))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				body, err := io.ReadAll(w.Body)
				w.Body.Close()
				if err != nil || w.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(body), "urn:vicreg:problem:deadline-exceeded") {
					t.Errorf("%s: %s, %v in %s", name, w.Status, err, body)
				}
			}
		})
	}
}

// deadlines records the deadlines that are set for an answer.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// Over HTTP/2 the deadline that ends a stream is lifted while the answer is made, and set again for
// clients that do not read it.
func TestUnreadHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := Defaults(2)
		s := New(nil, config, slog.New(slog.DiscardHandler))
		w, r := &deadlines{ResponseRecorder: httptest.NewRecorder()}, httptest.NewRequest("GET", "/livez", nil)
		r.ProtoMajor = 2
		s.handler.ServeHTTP(w, r)
		if len(w.set) != 2 || !w.set[0].IsZero() || !w.set[1].Equal(time.Now().Add(2*config.Deadline)) {
			t.Errorf("%d, deadlines %v", w.Code, w.set)
		}
	})
}

// A short deadline for answers leaves a client time for the TLS handshake, which takes the shortest
// of the server's timeouts, and to read.
func TestShortDeadline(t *testing.T) {
	config := Defaults(2)
	config.Deadline = time.Millisecond
	h := New(nil, config, slog.New(slog.DiscardHandler)).httpServer(nil)
	if least := h.ReadHeaderTimeout; h.ReadTimeout < least || h.WriteTimeout < least {
		t.Errorf("timeouts of %v and %v, the headers have %v", h.ReadTimeout, h.WriteTimeout, least)
	}
}

// A connection of HTTP/2 that takes nothing at all ends, too: a stream's deadline needs the
// connection to take its reset.
func TestUnreadConnection(t *testing.T) {
	config := Defaults(2)
	h := New(nil, config, slog.New(slog.DiscardHandler)).httpServer(nil)
	if h.HTTP2 == nil || h.HTTP2.WriteByteTimeout != 2*config.Deadline {
		t.Errorf("HTTP/2: %+v", h.HTTP2)
	}
}
