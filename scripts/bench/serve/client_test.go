package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestReplyRead(t *testing.T) {
	for _, c := range []struct {
		name, text, body string
		status           int
		begun, fails     bool
	}{
		{"length", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP", "abc", 200, true, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", 200, true, false},
		{"announced", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", "", 429, true, false},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\nHTTP", "", 204, true, false},
		{"to the end", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc", "abc", 200, true, false},
		{"nothing", "", "", 0, false, true},
		{"cut in the header", "HTTP/1.1 200 OK\r\nContent-", "", 200, true, true},
		{"cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "", 200, true, true},
		{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "", 200, true, true},
		{"a long chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "", 200, true, true},
		{"no answer", "SSH-2.0-OpenSSH_9.2\r\n", "", 0, true, true},
	} {
		r := reply{begun: !c.begun, status: 7, body: []byte("of the last")}
		err := r.read(bufio.NewReader(strings.NewReader(c.text)))
		if (err != nil) != c.fails || r.begun != c.begun || r.status != c.status || err == nil && string(r.body) != c.body {
			t.Errorf("%s: status %d, body %q, begun %v, %v", c.name, r.status, r.body, r.begun, err)
		}
	}
}

func TestReplyHeaders(t *testing.T) {
	var r reply
	text := "HTTP/1.1 200 OK\r\nServer-Timing: decode;dur=1.5, queue;dur=20, infer;dur=0.25\r\nretry-after-ms: 1500\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
	if err := r.read(bufio.NewReader(strings.NewReader(text))); err != nil {
		t.Fatal(err)
	}
	fine, whole := r.promises()
	if fine != 1500*time.Millisecond || whole != 2*time.Second || r.header("Retry") != "" {
		t.Errorf("Retry-After-Ms %v, Retry-After %v", fine, whole)
	}
	if got := spans(r.header("Server-Timing")); got != [3]float32{1.5, 20, 0.25} {
		t.Errorf("Server-Timing %v", got)
	}
}

// The server closes after each answer without announcing it: a request on a closed connection is
// resent once, on a new one. A careful client detects the close beforehand.
func TestClientTriesAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				io.Copy(io.Discard, r.Body)
				conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			}
			conn.Close()
		}
	}()
	m := post("/", bytes.Repeat([]byte("x"), 100), nil)
	for _, careful := range []bool{false, true} {
		c := newClient(l.Addr().String())
		c.careful = careful
		for i := range 3 {
			if c.conn != nil {
				c.in.Peek(1) // waits for the close without recording it
				c.in.Reset(c.conn)
			}
			if r, err := c.do(m, 0); err != nil || string(r.body) != "ok" {
				t.Errorf("careful %v, request %d: %v", careful, i, err)
			}
		}
		if want := map[bool]int{false: 2, true: 0}[careful]; c.stale != want {
			t.Errorf("careful %v: %d requests sent again, want %d", careful, c.stale, want)
		}
		c.close()
	}
	l.Close()
	<-ended
	if _, err := newClient(l.Addr().String()).do(m, 0); err == nil {
		t.Error("an answer of nobody")
	} else if _, ok := err.(unsent); !ok {
		t.Errorf("nobody listens: %v", err)
	}
}
