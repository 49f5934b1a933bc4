package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"vicreg/server/batch"
	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/request"
	"vicreg/server/servertest"
)

// Every documented answer occurs at least once, and matches the document: each request is sent to
// the server in each state.
func TestDocumentedAnswers(t *testing.T) {
	s := start(t, func(c *Config) { c.MaxItems, c.Cache = 3, 0 })
	m := memoryFor(s)
	s.Items.SetIndex(m)
	for _, id := range []string{"a", "other"} { // present in all states
		if w := ask(s, "PUT", "/items/"+id, servertest.Photo(t, 1), "Content-Type", "image/png"); w.Code != 201 {
			t.Fatal(w.Body)
		}
	}
	c := contractOf(t)
	all := requests(t, s)
	given := map[string]bool{}
	for _, r := range all {
		w := r.send(s)
		if w.Code != r.status {
			t.Errorf("%s %v: %d %s, want %d", r.route, r.headers, w.Code, w.Body, r.status)
		}
		if err := c.request(r); err != nil && w.Code == 200 {
			t.Errorf("%s %v: the document does not have the request: %v", r.route, r.headers, err)
		}
		given[r.route+" < "+mediaType(r.header("Content-Type"))] = true
	}
	for name, state := range states(s, m) {
		state.begin()
		for _, r := range all {
			w := state.send(s, r)
			if err := c.answer(r, w); err != nil {
				t.Errorf("%s: %s %v: %v in %.200s", name, r.route, r.headers, err, w.Body)
			}
			given[fmt.Sprintf("%s %d %s", r.route, w.Code, mediaType(w.Header().Get("Content-Type")))] = true
		}
		state.end()
	}
	for _, want := range c.promises() {
		if !given[want] {
			t.Errorf("never seen: %s", want)
		}
	}
}

func (r call) header(name string) string {
	for i := 0; i+1 < len(r.headers); i += 2 {
		if r.headers[i] == name {
			return r.headers[i+1]
		}
	}
	return ""
}

func mediaType(header string) string {
	kind, _, _ := mime.ParseMediaType(header)
	return kind
}

// promises lists everything that the document says of requests and answers, such as "POST /embed <
// image/png" and "POST /embed 200 application/json".
func (c *contract) promises() (all []string) {
	for route, op := range c.operations() {
		if op.RequestBody != nil {
			for kind := range op.RequestBody.Value.Content {
				all = append(all, route+" < "+kind)
			}
		}
		for status, r := range op.Responses.Map() {
			if len(r.Value.Content) == 0 && !strings.HasPrefix(route, "HEAD ") {
				all = append(all, route+" "+status+" ")
			}
			for kind := range r.Value.Content {
				all = append(all, route+" "+status+" "+kind)
			}
		}
	}
	slices.Sort(all)
	return all
}

// state is a state of the server when a request arrives.
type state struct {
	begin, end func()
	slow       bool // bodies stop halfway
}

func (st state) send(s *Server, r call) *httptest.ResponseRecorder {
	if !st.slow {
		return r.send(s)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r.http(io.MultiReader(bytes.NewReader(r.body[:len(r.body)/2]), stuck{})))
	return w
}

// stuck is the rest of a body that does not arrive in time.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// states are the server states that change its answers, by name.
func states(s *Server, m *memory) map[string]state {
	e := s.current()
	swap := func(p played) state {
		var end func()
		return state{begin: func() { end = s.play(p) }, end: func() { end() }}
	}
	sick := prometheus.NewInvalidMetric(prometheus.NewDesc("sick", "", nil, nil), errors.New("no"))
	none := func() {}
	others := index.Binding{Fingerprint: strings.Repeat("0", 32), Dim: e.Dim()}
	return map[string]state{
		"well":     {none, none, false},
		"keys":     {func() { s.keys.set([]string{"key"}) }, func() { s.keys.set(nil) }, false},
		"astray":   {func() { s.config.Names = []string{"localhost"} }, func() { s.config.Names = nil }, false},
		"slow":     {none, none, true},
		"small":    {func() { s.config.MaxBody = 1 }, func() { s.config.MaxBody = 64 << 20 }, false},
		"full":     swap(played{refusal: &batch.Full{After: time.Second}}),
		"unread":   {func() { s.answers = taken() }, func() { s.answers = request.NewAnswers(s.config.Answers) }, false},
		"late":     {func() { s.config.Deadline = time.Nanosecond }, func() { s.config.Deadline = time.Minute }, false},
		"draining": {func() { s.stopping.Store(true); s.draining.Store(true) }, func() { s.stopping.Store(false); s.draining.Store(false) }, false},
		"loading":  {func() { s.engine = nil }, func() { s.engine = e }, false},
		"no index": {func() { s.Items.SetIndex(nil) }, func() { s.Items.SetIndex(m) }, false},
		"mismatch": {func() { m.binding = others }, func() { m.binding.Fingerprint = e.Fingerprint() }, false},
		"rebuild": {func() { m.binding = others; s.Items.SetRebuild(func() (int, int) { return 1, 2 }) },
			func() { m.binding.Fingerprint = e.Fingerprint(); s.Items.SetRebuild(nil) }, false},
		"full disk": {func() { m.full = fmt.Errorf("write: %w", index.ErrFull) }, func() { m.full = nil }, false},
		"damaged":   {func() { m.fail = index.ErrDamaged }, func() { m.fail = nil }, false},
		"stale":     swap(played{age: time.Hour}),
		"sick":      {func() { s.metrics.registry.MustRegister(broken{sick}) }, func() { s.metrics.registry.Unregister(broken{sick}) }, false},
		"failing":   swap(played{bad: problem.Errorf(problem.Internal, "the model failed on this image")}),
		"senseless": swap(played{bad: problem.Errorf(problem.BadImage, "its vector is not finite")}),
	}
}

// taken is an answer budget that another answer has used up.
func taken() *request.Answers {
	a, c := request.NewAnswers(1), echo.New().NewContext(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder())
	a.Serve(c)
	if err := request.Hold(c, 1); err != nil {
		panic(err)
	}
	return a
}

// broken is a collector whose only metric cannot be gathered.
type broken struct{ prometheus.Metric }

func (b broken) Describe(to chan<- *prometheus.Desc) { to <- b.Desc() }
func (b broken) Collect(to chan<- prometheus.Metric) { to <- b.Metric }
