package server

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"vicreg/server/index"
	"vicreg/server/servertest"
)

// unreadable serves s on unbuffered connections: what the clients do not read stays in the server's
// memory. idle waits until no request is in progress.
func unreadable(t *testing.T, s *Server) (p *pipes, idle func()) {
	t.Helper()
	p = &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	var requests sync.WaitGroup
	h, ended := s.httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		defer requests.Done()
		s.handler.ServeHTTP(w, r)
	})), make(chan error)
	go func() { ended <- h.Serve(p) }()
	t.Cleanup(func() {
		h.Close()
		<-ended
		p.typing.Wait()
	})
	return p, requests.Wait
}

// begin sends a request and reads only the status of its answer.
func (p *pipes) begin(t *testing.T, method, path, kind, body string) (conn net.Conn, status int) {
	t.Helper()
	conn = p.dial()
	p.typing.Go(func() {
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, kind, len(body), body)
	})
	if _, err := fmt.Fscanf(io.LimitReader(conn, int64(len("HTTP/1.1 200"))), "HTTP/1.1 %d", &status); err != nil {
		t.Fatal(err)
	}
	return conn, status
}

// Unread answers take no more memory than their budget, whatever the clients do; further clients
// are told to retry, and the budget is released in the end.
func TestUnreadAnswers(t *testing.T) {
	const room = 10 << 20 // two pages, or three searches
	s, m := indexed(t, func(c *Config) { c.Answers = room })
	var items []index.Item
	for i := range 300 {
		v := make([]float32, s.current().Dim())
		v[0] = 1
		items = append(items, index.Item{ID: fmt.Sprintf("%03d", i), Vector: v, Metadata: fmt.Appendf(nil, `{"text": "%s"}`, strings.Repeat("x", 16_000))})
	}
	if _, err := m.Upsert(t.Context(), "default", items...); err != nil {
		t.Fatal(err)
	}
	photo := servertest.Photo(t, 0)
	texts := strings.Repeat(fmt.Sprintf(`"%s",`, base64.StdEncoding.EncodeToString(photo)), 200)
	bulk := `{"inputs": [` + strings.TrimSuffix(texts, ",") + `]}`
	for name, c := range map[string]struct {
		method, path, body string
		fit                int // how many answers fit at once
	}{
		"list":   {"GET", "/items?limit=1000", "", 2},
		"search": {"POST", "/similar?k=200", `{"id": "000"}`, 3},
		"embed":  {"POST", "/embed", bulk, room / (200 * (32*s.current().Dim() + 1024))},
	} {
		p, idle := unreadable(t, s)
		var conns []net.Conn
		for i := range c.fit + 3 {
			conn, status := p.begin(t, c.method, c.path, asJSON, c.body)
			conns = append(conns, conn)
			if want := map[bool]int{true: 200, false: 429}[i < c.fit]; status != want {
				t.Errorf("%s, client %d: %d, want %d", name, i, status, want)
			}
		}
		told := make(chan string)
		last := conns[len(conns)-1]
		go func() {
			w, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 429"), last)), nil)
			if err != nil {
				told <- err.Error()
				return
			}
			body, err := io.ReadAll(w.Body)
			told <- fmt.Sprint(string(body), err, w.Header.Get("Retry-After"))
		}()
		if text := <-told; !strings.Contains(text, "not enough memory for the answer") || !strings.HasSuffix(text, "<nil>1") {
			t.Errorf("%s: %s", name, text)
		}
		for _, conn := range conns {
			conn.Close()
		}
		idle()
		if conn, status := p.begin(t, c.method, c.path, asJSON, c.body); status != 200 {
			t.Errorf("%s, when the others have left: %d", name, status)
		} else {
			conn.Close()
		}
		idle()
	}
}

// A page of large items is cut short, and the next page continues after it.
func TestShortPages(t *testing.T) {
	s, m := indexed(t, nil)
	const items, size = 700, 15_000
	for i := range items {
		it := index.Item{ID: fmt.Sprint(i), Vector: make([]float32, s.current().Dim()), Metadata: fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", size))}
		it.Vector[0] = 1
		if _, err := m.Upsert(t.Context(), "default", it); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := 0, 0
	for after := ""; ; pages++ {
		w := ask(s, "GET", "/items?limit=1000&after="+after, nil)
		if w.Body.Len() > 5<<20 {
			t.Errorf("a page of %d bytes", w.Body.Len())
		}
		page := read[listReply](t, w, 200)
		for _, it := range page.Data {
			if it.ID != fmt.Sprint(seen) || !json.Valid(it.Metadata) || len(it.Metadata) < size {
				t.Fatalf("item %d is %q", seen, it.ID)
			}
			seen++
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if seen != items || pages != 2 {
		t.Errorf("%d items on %d more pages", seen, pages)
	}
}
