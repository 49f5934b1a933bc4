package server

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vicreg/pipeline/imaging"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// small starts a server whose limits small inputs can reach. MaxBatch is 1 because measuring batch
// sizes is most of what starting a server takes.
func small(t testing.TB, change func(*Config)) *Server {
	s := start(t, func(c *Config) {
		c.MaxBatch = 1
		c.MaxBody, c.MaxItems, c.Limits, c.Cache = 64<<10, mostItems, imaging.Limits{Side: 256, Pixels: 1 << 14}, 0
		if change != nil {
			change(c)
		}
	})
	s.Items.SetIndex(memoryFor(s))
	return s
}

// probe is a valid request with a known answer.
type probe struct {
	image []byte
	want  []float32
}

func newProbe(t testing.TB, s *Server) *probe {
	t.Helper()
	p := &probe{image: servertest.Photo(t, 7)}
	v := direct(t, s, p.image)
	p.want = v
	return p
}

// check verifies that the server still works after whatever came before: it answers correctly, and
// all temporary resources have been released.
func (p *probe) check(t *testing.T, s *Server, after string) {
	t.Helper()
	w := ask(s, "POST", "/embed", p.image, "Content-Type", "image/png", "Accept", "application/octet-stream")
	if w.Code != 200 || !close32(floats(w.Body.Bytes()), p.want, 1e-5) {
		t.Fatalf("after %s a good request: %d %.200s", after, w.Code, w.Body)
	}
	s.idle(t, after)
}

// idle checks that no request holds any resources.
func (s *Server) idle(t *testing.T, after string) {
	t.Helper()
	bodies := bodiesAtOnce * s.config.MaxBody
	if !s.bodies.TryAcquire(bodies) {
		t.Fatalf("after %s room is not given back", after)
	}
	s.bodies.Release(bodies)
	if n := s.current().Stats().Waiting; n != 0 {
		t.Fatalf("after %s %d images wait", after, n)
	}
}

// clients are the codes of errors that are the client's fault or temporary, not internal.
var clients = []problem.Code{problem.BadRequest, problem.Unauthorized, problem.NotFound, problem.BadMethod, problem.NotAcceptable, problem.SlowBody, problem.TooLarge,
	problem.BadMediaType, problem.BadImage, problem.Busy, problem.NoIndex, problem.UnknownItem, problem.Mismatch, problem.NoSpace}

// documented checks that an answer is either a success or has a status from the table of problems,
// in the format of its API. Errors must not be the server's.
func documented(t *testing.T, w *httptest.ResponseRecorder, method, path string) {
	t.Helper()
	if w.Header().Get("X-Request-Id") == "" {
		t.Errorf("%s %.80q: no id", method, path)
	}
	if w.Code < 300 || w.Code == 304 {
		return
	}
	known := false
	for _, c := range clients {
		known = known || problem.Errorf(c, "").Document("").Status == w.Code
	}
	var d problem.Document
	var told struct{ Error json.RawMessage }
	var open struct{ Message, Type, Code string }
	kind, err := "application/json", error(nil)
	switch {
	case method == "HEAD":
		known = known && w.Body.Len() == 0
		kind = w.Header().Get("Content-Type")
	case strings.HasPrefix(path, "/v1/"):
		if err = json.Unmarshal(w.Body.Bytes(), &told); err == nil {
			err = json.Unmarshal(told.Error, &open)
		}
		known = known && open.Type != "" && open.Code != ""
	case strings.HasPrefix(path, "/v2/"):
		if err = json.Unmarshal(w.Body.Bytes(), &told); err == nil {
			err = json.Unmarshal(told.Error, &open.Message)
		}
	default:
		kind = "application/problem+json"
		err = json.Unmarshal(w.Body.Bytes(), &d)
		known = known && d.Status == w.Code && d.Title != "" && d.Instance == w.Header().Get("X-Request-Id")
	}
	if !known || err != nil || w.Header().Get("Content-Type") != kind || w.Body.Len() > 8<<10 {
		t.Errorf("%s %.80q: %d, %v, %s %.300s", method, path, w.Code, err, w.Header().Get("Content-Type"), w.Body)
	}
}

// FuzzRequest sends whole requests.
func FuzzRequest(f *testing.F) {
	s := small(f, nil)
	probe := newProbe(f, s)
	files := [][]byte{servertest.Photo(f, 0), servertest.Photo(f, 1)}
	body, kind := form(f, files...)
	f.Add("POST", "/embed", "image/png", "", files[0])
	f.Add("POST", "/embed?normalize=true", kind, "application/x-npy", body)
	f.Add("POST", "/embed", "application/json", "*/*", inputs(files...))
	f.Add("POST", "/v1/embeddings", "application/json", "", fmt.Appendf(nil, `{"model": "backbone", "input": %q}`, base64.StdEncoding.EncodeToString(files[0])))
	f.Add("POST", "/v2/models/backbone/infer", "", "", []byte(`{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1,16,16,3], "data": [`+strings.Repeat("7,", 767)+`7]}]}`))
	f.Add("GET", "/v2/models/%62ackbone/versions/1/ready", "", "", []byte(nil))
	f.Add("HEAD", "/livez", "", "", []byte(nil))
	f.Add("OPTIONS", "*", "", "", []byte(nil))
	f.Add("PUT", "/items/a%2Fb?metadata={}&namespace=n", "image/png", "", files[0])
	f.Add("PUT", "/items/%ff", "application/json", "", []byte(`{"vector": [1, 1e400]}`))
	f.Add("DELETE", "/items/a?namespace=%00", "", "", []byte(nil))
	f.Add("GET", "/items/a/thumbnail", "", "", []byte(nil))
	f.Add("GET", "/items?filter={%22a%22:1}&limit=2&after=3", "", "", []byte(nil))
	f.Add("POST", "/items", kind, "", body)
	f.Add("POST", "/similar?k=3&threshold=0&filter={}", "application/json", "", []byte(`{"ids": ["a", "b"]}`))
	f.Add("PUT", "//embed/../metrics?;=%zz", "text/html", "text/html", []byte("x"))
	f.Fuzz(func(t *testing.T, method, path, kind, accept string, body []byte) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil || strings.ContainsFunc(kind+accept, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return // net/http rejects it before the handler
		}
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Accept", accept)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		documented(t, w, r.Method, r.URL.Path)
		probe.check(t, s, "this")
	})
}
