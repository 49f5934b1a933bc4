package page

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// prefix is a path under which a proxy might put the server.
const prefix = "/some/where/"

// api is a stub of the server: it keeps to the same contract, with colour histograms as vectors.
type api struct {
	t    *testing.T
	web  *httptest.Server
	mu   sync.Mutex
	key  string
	keep map[string][]item // by namespace
	hook func(w http.ResponseWriter, r *http.Request) bool
	seen []string // requests that passed the guard and the hook
}

type item struct {
	ID        string
	Source    string
	SHA256    string
	Metadata  map[string]any
	Thumbnail []byte
	vector    []float64
}

// serve starts a stub server with the gallery and the oddities.
func serve(t *testing.T) *api {
	a := &api{t: t, keep: map[string][]item{"default": gallery(t), "odd": oddities(t)}}
	a.listen("127.0.0.1:0")
	t.Cleanup(func() { a.web.Close() })
	return a
}

func (a *api) listen(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.web = httptest.NewUnstartedServer(a.routes())
	a.web.Listener.Close()
	a.web.Listener = l
	a.web.Start()
}

func (a *api) url() string { return "http://" + a.web.Listener.Addr().String() + prefix }

// set changes the server's state under its lock.
func (a *api) set(change func(*api)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

// fail makes the server answer all requests under a path with a problem, until the test resets the
// hook.
func (a *api) fail(path string, status int, kind, detail string, headers ...string) {
	a.set(func(a *api) {
		a.hook = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, prefix+path) {
				return false
			}
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			refuse(w, status, kind, detail)
			return true
		}
	})
}

func refuse(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"type": "urn:vicreg:problem:" + kind, "title": kind, "status": status, "detail": detail})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}

func (a *api) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET "+prefix+"{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", Policy)
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.Write(HTML())
	})
	m.HandleFunc("GET "+prefix+"page/{asset}", func(w http.ResponseWriter, r *http.Request) {
		file, kind, ok := Asset(r.PathValue("asset"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Write(file)
	})
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + prefix + "namespaces": a.namespaces, "GET " + prefix + "items": a.list, "POST " + prefix + "similar": a.similar,
		"GET " + prefix + "items/{id}": a.get, "GET " + prefix + "items/{id}/thumbnail": a.thumbnail,
	} {
		m.HandleFunc(pattern, a.guard(h))
	}
	return m
}

// guard requires the key, if there is one, and gives the test's hook a chance to answer first.
func (a *api) guard(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.key != "" && r.Header.Get("Authorization") != "Bearer "+a.key {
			refuse(w, 401, "unauthorized", "send the header Authorization: Bearer KEY")
			return
		}
		if a.hook == nil || !a.hook(w, r) {
			a.seen = append(a.seen, r.Method+" "+strings.TrimPrefix(r.URL.Path, prefix))
			h(w, r)
		}
	}
}

func (a *api) namespaces(w http.ResponseWriter, r *http.Request) {
	data := []any{}
	for _, name := range slices.Sorted(maps.Keys(a.keep)) {
		fields := map[string]bool{}
		for _, i := range a.keep[name] {
			fieldsOf(i.Metadata, "", fields)
		}
		data = append(data, map[string]any{"name": name, "items": len(a.keep[name]), "fields": slices.Sorted(maps.Keys(fields))})
	}
	answer(w, map[string]any{"data": data})
}

func fieldsOf(m map[string]any, path string, into map[string]bool) {
	for name, v := range m {
		if inner, ok := v.(map[string]any); ok {
			fieldsOf(inner, path+name+".", into)
		} else {
			into[path+name] = true
		}
	}
}

// chosen returns the items that the request selects.
func (a *api) chosen(w http.ResponseWriter, r *http.Request) (items []item, ok bool) {
	q := r.URL.Query()
	filter := map[string]any{}
	if text := q.Get("filter"); text != "" {
		if err := json.Unmarshal([]byte(text), &filter); err != nil {
			refuse(w, 400, "bad-request", "filter: "+err.Error())
			return nil, false
		}
	}
	for _, i := range a.keep[cmp.Or(q.Get("namespace"), "default")] {
		good, err := matches(i.Metadata, filter)
		if err != nil {
			refuse(w, 400, "bad-request", err.Error())
			return nil, false
		}
		if good {
			items = append(items, i)
		}
	}
	return items, true
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	items, ok := a.chosen(w, r)
	if !ok {
		return
	}
	limit, _ := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), "100"))
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	end := min(after+limit, len(items))
	data := []any{}
	for _, i := range items[after:end] {
		data = append(data, i.shown(r))
	}
	page := map[string]any{"namespace": "default", "total": len(items), "data": data, "next": nil}
	if end < len(items) {
		page["next"] = strconv.Itoa(end)
	}
	answer(w, page)
}

func (i item) shown(r *http.Request) map[string]any {
	out := map[string]any{"id": i.ID, "metadata": i.Metadata, "source": i.Source, "sha256": i.SHA256, "thumbnail": nil}
	if i.Thumbnail != nil {
		out["thumbnail"] = "items/" + url.PathEscape(i.ID) + "/thumbnail?namespace=" + url.QueryEscape(cmp.Or(r.URL.Query().Get("namespace"), "default"))
	}
	return out
}

func (a *api) one(w http.ResponseWriter, r *http.Request, id string) *item {
	for _, i := range a.keep[cmp.Or(r.URL.Query().Get("namespace"), "default")] {
		if i.ID == id {
			return &i
		}
	}
	refuse(w, 404, "unknown-item", fmt.Sprintf("there is no item %q", id))
	return nil
}

func (a *api) get(w http.ResponseWriter, r *http.Request) {
	if i := a.one(w, r, r.PathValue("id")); i != nil {
		answer(w, i.shown(r))
	}
}

func (a *api) thumbnail(w http.ResponseWriter, r *http.Request) {
	if i := a.one(w, r, r.PathValue("id")); i != nil && i.Thumbnail != nil {
		w.Header().Set("Content-Type", "image/jpeg")
		w.Write(i.Thumbnail)
	} else if i != nil {
		refuse(w, 404, "unknown-item", "the item has no thumbnail")
	}
}

func (a *api) similar(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var id string
	var vector []float64
	if r.Header.Get("Content-Type") == "application/json" {
		var asked struct{ ID string }
		json.Unmarshal(body, &asked)
		i := a.one(w, r, asked.ID)
		if i == nil {
			return
		}
		id, vector = i.ID, i.vector
	} else {
		img, _, err := image.Decode(bytes.NewReader(body))
		if err != nil {
			refuse(w, 422, "bad-image", "not a JPEG, PNG, WebP or GIF file")
			return
		}
		vector = histogram(img)
	}
	if items, ok := a.chosen(w, r); ok {
		k, _ := strconv.Atoi(cmp.Or(r.URL.Query().Get("k"), "10"))
		answer(w, map[string]any{"model": "stub", "similarity": "cosine", "data": []any{map[string]any{"index": 0, "results": nearest(items, id, vector, k)}}})
	}
}

func nearest(items []item, id string, vector []float64, k int) []map[string]any {
	out := []map[string]any{}
	for _, i := range items {
		if i.ID == id {
			continue
		}
		var score float64
		for d := range vector {
			score += vector[d] * i.vector[d]
		}
		out = append(out, map[string]any{"id": i.ID, "score": score, "percentile": min(100*score, 99.97), "metadata": i.Metadata, "source": i.Source})
	}
	slices.SortStableFunc(out, func(a, b map[string]any) int { return cmp.Compare(b["score"].(float64), a["score"].(float64)) })
	return out[:min(k, len(out))]
}

// matches implements as much of the filter language as the tests need.
func matches(metadata, filter map[string]any) (bool, error) {
	for field, want := range filter {
		if strings.HasPrefix(field, "$") {
			return false, fmt.Errorf("filter: there is no operator %q", field)
		}
		value := any(metadata)
		for part := range strings.SplitSeq(field, ".") {
			m, _ := value.(map[string]any)
			value = m[part]
		}
		tests, ok := want.(map[string]any)
		if !ok {
			tests = map[string]any{"$eq": want}
		}
		for op, arg := range tests {
			good, err := holds(op, value, arg)
			if err != nil || !good {
				return false, err
			}
		}
	}
	return true, nil
}

func holds(op string, value, arg any) (bool, error) {
	number, _ := value.(float64)
	bound, _ := arg.(float64)
	switch op {
	case "$eq":
		return value == arg, nil
	case "$in":
		return slices.Contains(arg.([]any), value), nil
	case "$gte":
		return number >= bound, nil
	case "$lt":
		return number < bound, nil
	}
	return false, fmt.Errorf("filter: there is no operator %q", op)
}
