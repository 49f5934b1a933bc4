package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vicreg/server/servertest"
)

// A server that is told to stop finishes requests in progress and accepts no more.
func TestRunDrains(t *testing.T) {
	s := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, Listeners{API: l}, func() {}) }()

	body, file := io.Pipe()
	request, err := http.NewRequest("POST", "http://"+l.Addr().String()+"/embed", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "image/png")
	answer := make(chan int, 1)
	go func() {
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		defer r.Body.Close()
		answer <- r.StatusCode
	}()
	photo := servertest.Photo(t, 0)
	file.Write(photo[:100])
	for !strings.Contains(ask(s, "GET", "/metrics", nil).Body.String(), "vicreg_requests_in_flight 1") {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for ask(s, "GET", "/readyz", nil).Code != 503 {
		time.Sleep(time.Millisecond)
	}
	file.Write(photo[100:])
	file.Close()
	if code := <-answer; code != 200 {
		t.Errorf("the request under way: %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get("http://" + l.Addr().String() + "/livez"); err == nil {
		t.Error("it still listens")
	}
}

// A body that does not arrive is answered with 408.
func TestSlowBody(t *testing.T) {
	s := start(t, func(c *Config) { c.Deadline = 300 * time.Millisecond })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, Listeners{API: l}, func() {}) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc")
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
		t.Errorf("%v, %q", err, answer)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A client that disconnects after sending a form is noticed too, although the form's reader stops
// before the end of the body.
func TestClientLeavesAfterItsForm(t *testing.T) {
	s := start(t, func(c *Config) { c.Deadline = 10 * time.Second })
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	began := make(chan struct{})
	defer s.play(played{began: began})()
	conn, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, kind := form(t, servertest.Photo(t, 0))
	fmt.Fprintf(conn, "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s%8192s", kind, len(body)+8192, body, "")
	<-began
	conn.Close()
	for !strings.Contains(ask(s, "GET", "/metrics", nil).Body.String(), "vicreg_requests_in_flight 0") {
		time.Sleep(time.Millisecond)
	}
	if text := ask(s, "GET", "/metrics", nil).Body.String(); !strings.Contains(text, `vicreg_requests_total{code="499",route="/embed"} 1`) {
		t.Error("it was noticed at the deadline")
	}
}
