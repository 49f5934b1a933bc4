package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// asks has a request to each route of the index; vectors says whether the route needs vectors.
func asks(t *testing.T, s *Server) map[string]func() (code int, body string, vectors bool) {
	one := func(vectors bool, method, path, body string) func() (int, string, bool) {
		return func() (int, string, bool) {
			w := ask(s, method, path, []byte(body), "Content-Type", asJSON)
			return w.Code, w.Body.String(), vectors
		}
	}
	x := unit(s, 0)
	return map[string]func() (int, string, bool){
		"search": one(true, "POST", "/similar", `{"id": "a"}`), "many": one(true, "POST", "/items", `{"items": [{"id": "n", "vector": `+x+`}]}`),
		"put": one(true, "PUT", "/items/n", `{"vector": `+x+`}`), "get": one(false, "GET", "/items/a", ""), "list": one(false, "GET", "/items", ""),
		"namespaces": one(false, "GET", "/namespaces", ""), "delete": one(false, "DELETE", "/items/d", ""),
	}
}

// Without an index, each of its routes says so.
func TestNoIndex(t *testing.T) {
	s, _ := searched(t, nil)
	s.Items.SetIndex(nil)
	for name, send := range asks(t, s) {
		if code, body, _ := send(); code != 404 || !strings.Contains(body, "problem:no-index") || !strings.Contains(body, "start it with --index FILE") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if w := ask(s, "GET", "/info", nil); !strings.Contains(w.Body.String(), `"index":null`) {
		t.Errorf("%s", w.Body)
	}
}

// While the index is loading, they say that and when to retry.
func TestIndexIsBeingLoaded(t *testing.T) {
	s, _ := searched(t, nil)
	s.Items.SetIndex(nil)
	s.Items.Keep(filepath.Join(t.TempDir(), "x.index"), false)
	for name, send := range asks(t, s) {
		if code, body, _ := send(); code != 503 || !strings.Contains(body, "the index is being loaded") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if w := ask(s, "GET", "/items", nil); w.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", w.Header())
	}
}

// Routes that need vectors are refused while the index has those of another model, before the body
// is read; the others keep working, and /info reports the rebuild's progress.
func TestIndexOfAnotherModel(t *testing.T) {
	s, m := searched(t, nil)
	about := func() (info struct {
		Index struct {
			Items, Namespaces              int
			Fingerprint, Similarity, State string
			Progress                       *struct{ Done, Total int }
		}
	}) {
		if err := json.Unmarshal(ask(s, "GET", "/info", nil).Body.Bytes(), &info); err != nil {
			t.Fatal(err)
		}
		return info
	}
	if got := about().Index; got.Items != 4 || got.Namespaces != 1 || got.State != "ready" || got.Progress != nil || got.Similarity != "cosine" {
		t.Errorf("%+v", got)
	}
	m.binding.Fingerprint = "of another"
	for name, send := range asks(t, s) {
		code, body, vectors := send()
		conflict := code == 409 && strings.Contains(body, "problem:model-mismatch") && strings.Contains(body, "start the server with --rebuild, or stop it and run vicreg index rebuild") && strings.Contains(body, "of another") && strings.Contains(body, s.current().Fingerprint())
		if conflict != vectors || !vectors && code != 200 && code != 204 {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if got := about().Index; got.Items != 3 || got.State != "stale" || got.Fingerprint != "of another" || got.Progress != nil {
		t.Errorf("%+v", got)
	}
	s.Items.SetRebuild(func() (done, total int) { return 5, 9 })
	told(t, "rebuild", ask(s, "POST", "/similar", nil, "Content-Type", "image/png"), 409, problem.Mismatch, "5 of 9 items done")
	if got := about().Index; got.State != "rebuilding" || *got.Progress != struct{ Done, Total int }{5, 9} {
		t.Errorf("%+v", got)
	}
	m.binding.Fingerprint = s.current().Fingerprint() // as for a request that began with the previous model
	for name, send := range asks(t, s) {
		if code, body, vectors := send(); vectors && (code != 409 || !strings.Contains(body, "5 of 9 items done")) {
			t.Errorf("%s while the index is rebuilt: %d %s", name, code, body)
		}
	}
	s.Items.SetIndex(memoryFor(s))
	s.Items.SetRebuild(nil)
	if got := about().Index; got.State != "ready" || got.Items != 0 {
		t.Errorf("%+v", got)
	}
}

// Each error of the index has its own status, and nothing of the request is stored.
func TestErrorsOfTheIndex(t *testing.T) {
	s, m := searched(t, nil)
	for _, c := range []struct {
		err    error
		status int
		code   problem.Code
		words  string
	}{
		{fmt.Errorf("write: %w", index.ErrFull), 507, problem.NoSpace, "nothing in the request was stored"},
		{fmt.Errorf("write: %w (%w)", index.ErrUnsure, index.ErrFull), 500, problem.Internal, "a restart of the server may bring it into effect"},
		{fmt.Errorf("write: %w", index.ErrModel), 409, problem.Mismatch, "another model"},
		{index.ErrClosed, 503, problem.Unavailable, "shutting down"},
		{&index.ItemError{Index: 3, Err: errors.New("no")}, 400, problem.BadRequest, "item 3: no"},
		{fmt.Errorf("lost: %w", index.ErrUnknown), 404, problem.UnknownItem, "lost"},
		{index.ErrDamaged, 500, problem.Internal, "log"},
	} {
		m.fail = c.err
		told(t, "put", ask(s, "PUT", "/items/n", []byte(`{"vector": `+unit(s, 0)+`}`), "Content-Type", asJSON), c.status, c.code, c.words)
		told(t, "search", ask(s, "POST", "/similar", []byte(`{"id": "a"}`), "Content-Type", asJSON), c.status, c.code, c.words)
	}
	if m.fail = nil; m.Len() != 4 {
		t.Errorf("%d items", m.Len())
	}
}

// The index is in the metrics, and so is the time spent searching.
func TestIndexMetrics(t *testing.T) {
	s, _ := searched(t, nil)
	if w := ask(s, "POST", "/similar", []byte(`{"id": "a"}`), "Content-Type", asJSON); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	text := ask(s, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{"\nvicreg_index_items 4\n", "\nvicreg_search_seconds_count 1\n", `vicreg_requests_total{code="200",route="/similar"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}
