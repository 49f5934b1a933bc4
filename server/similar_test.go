package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

type similarReply struct {
	Model, Namespace, Similarity string
	Data                         []struct {
		Index   int
		Results *[]struct {
			ID         string
			Score      float32
			Percentile *float64
			Metadata   json.RawMessage
			Source     *string
		}
		Error *problem.Document
	}
}

// ids lists the ids of each query's results, or the status of its error.
func (r similarReply) ids() (all []string) {
	for i, d := range r.Data {
		text := ""
		switch {
		case d.Index != i || (d.Results == nil) == (d.Error == nil):
			text = "out of order"
		case d.Error != nil:
			text = fmt.Sprint(d.Error.Status)
		default:
			for _, h := range *d.Results {
				text += h.ID
			}
		}
		all = append(all, text)
	}
	return all
}

// searched is a server whose index has the items a to d: a and b orthogonal, c between them, and d
// the vector of the first picture.
func searched(t testing.TB, change func(*Config)) (*Server, *memory) {
	t.Helper()
	s, m := indexed(t, change)
	items := make([]index.Item, 4)
	for i, id := range []string{"a", "b", "c", "d"} {
		items[i] = index.Item{ID: id, Vector: make([]float32, m.binding.Dim)}
	}
	picture := direct(t, s, servertest.Photo(t, 0))
	items[0].Vector[0], items[1].Vector[1], items[2].Vector[0], items[2].Vector[1] = 1, 1, 3, 4
	items[0].Metadata, items[0].Source, items[3].Vector = json.RawMessage(`{"label":"cat"}`), "a.png", picture
	if _, err := m.Upsert(t.Context(), "default", items...); err != nil {
		t.Fatal(err)
	}
	return s, m
}

func found1(t *testing.T, s *Server, query, body string) []string {
	t.Helper()
	return read[similarReply](t, ask(s, "POST", "/similar?"+query, []byte(body), "Content-Type", asJSON), 200).ids()
}

// An image finds itself, in whatever format it is sent.
func TestSimilarToAnImage(t *testing.T) {
	s, m := searched(t, nil)
	file := servertest.Photo(t, 0)
	parts, kind := form(t, file, []byte("no image"), file)
	for name, c := range map[string]struct {
		kind string
		body []byte
		want string
	}{
		"body":  {"image/png", file, "d"},
		"form":  {kind, parts, "d 422 d"},
		"JSON":  {asJSON, inputs(file), "d"},
		"JSONs": {asJSON, inputs(file, []byte("no image"), servertest.Photo(t, 1), file), "d 422 d d"},
	} {
		calls := m.calls
		w := ask(s, "POST", "/similar?k=1", c.body, "Content-Type", c.kind)
		got := read[similarReply](t, w, 200)
		if strings.Join(got.ids(), " ") != c.want || got.Model != s.current().Fingerprint() || got.Namespace != "default" || got.Similarity != "cosine" {
			t.Errorf("%s: %+v", name, got)
		}
		if timing := w.Header().Get("Server-Timing"); m.calls != calls+1 || !strings.Contains(timing, "search;dur=") || !strings.Contains(timing, "infer;dur=") {
			t.Errorf("%s: %d searches, %s", name, m.calls-calls, timing)
		}
		if score := (*got.Data[0].Results)[0].Score; math.Abs(float64(score)-1) > 1e-5 {
			t.Errorf("%s: an image is %v similar to itself", name, score)
		}
	}
	told(t, "no image", ask(s, "POST", "/similar", []byte("x"), "Content-Type", "image/png"), 422, problem.BadImage, "not a JPEG")
	told(t, "alone", ask(s, "POST", "/similar", inputs([]byte("x")), "Content-Type", asJSON), 422, problem.BadImage, "not a JPEG")
}

// A search by id excludes the item itself; several queries are one search.
func TestSimilarToAnItem(t *testing.T) {
	s, m := searched(t, nil)
	if got := found1(t, s, "k=1", `{"id": "a"}`); got[0] != "c" {
		t.Errorf("%v", got)
	}
	if got := found1(t, s, "k=1", `{"ids": ["b", "x", "c"]}`); !slices.Equal(got, []string{"c", "404", "b"}) {
		t.Errorf("%v", got)
	}
	calls := m.calls
	if got := found1(t, s, "k=1", `{"ids": ["b", "c"]}`); !slices.Equal(got, []string{"c", "b"}) || m.calls != calls+1 {
		t.Errorf("%v in %d searches", got, m.calls-calls)
	}
	if got := found1(t, s, "", `{"ids": ["x", ""]}`); !slices.Equal(got, []string{"404", "404"}) {
		t.Errorf("%v", got)
	}
	for _, body := range []string{`{"id": "x"}`, `{"ids": ["x"]}`} {
		told(t, body, ask(s, "POST", "/similar", []byte(body), "Content-Type", asJSON), 404, problem.UnknownItem, `"x" is not in namespace "default"`)
	}
}

func TestSimilarToAVector(t *testing.T) {
	s, _ := searched(t, nil)
	x, y := unit(s, 0), unit(s, 1)
	for name, c := range map[string]struct{ query, body, want string }{
		"one":                        {"k=2", `{"vector": ` + x + `}`, "ac"},
		"several":                    {"k=2", `{"vectors": [` + x + `, ` + y + `]}`, "ac bc"},
		"k in the body":              {"k=3", `{"vector": ` + x + `, "k": 1}`, "a"},
		"threshold":                  {"threshold=0.59", `{"vector": ` + x + `}`, "ac"},
		"threshold in the body":      {"threshold=0", `{"vector": ` + x + `, "threshold": 0.61}`, "a"},
		"filter":                     {"filter=" + url.QueryEscape(`{"label":"cat"}`), `{"vector": ` + y + `}`, "a"},
		"filter in the body":         {"filter=" + url.QueryEscape(`{"label":"dog"}`), `{"vector": ` + y + `, "filter": {"label": "cat"}}`, "a"},
		"exclude":                    {"k=2&exclude=" + url.QueryEscape(`["a", "none"]`), `{"vector": ` + x + `}`, "cd"},
		"exclude in the body":        {"k=1&exclude=" + url.QueryEscape(`["c"]`), `{"vectors": [` + x + `, ` + y + `], "exclude": ["a", "b"]}`, "c c"},
		"exclude from its like":      {"k=1", `{"id": "a", "exclude": ["c"]}`, "d"},
		"null in the body":           {"k=1", `{"vector": ` + y + `, "k": null, "filter": null, "threshold": null, "namespace": null, "with_metadata": null, "vectors": null, "id": null}`, "b"},
		"namespace":                  {"namespace=none", `{"vector": ` + y + `}`, ""},
		"namespace in the body":      {"namespace=none", `{"vector": ` + y + `, "namespace": "default", "k": 1}`, "b"},
		"the default by its absence": {"namespace=", `{"vector": ` + y + `, "namespace": "", "k": 1}`, "b"},
	} {
		if got := found1(t, s, c.query, c.body); strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// A namespace without items, a field that no item has and a filter without matches are no errors, but are noted in the
// answer.
func TestNothingFound(t *testing.T) {
	s, m := searched(t, nil)
	m.fields = []string{"label"}
	x := unit(s, 0)
	type noted struct{ Note *string }
	for _, c := range []struct{ query, note string }{
		{"?namespace=defualt", "namespace defualt is empty; did you mean default?"},
		{"?filter=" + url.QueryEscape(`{"lable": "cat"}`), "no item of namespace default has the field lable; did you mean label?"},
		{"?filter=" + url.QueryEscape(`{"label": "kat"}`), "no item of namespace default matches the filter"},
		{"", ""},
	} {
		for name, w := range map[string]*httptest.ResponseRecorder{
			"search": ask(s, "POST", "/similar"+c.query, []byte(`{"vectors": [`+x+`, `+x+`]}`), "Content-Type", asJSON),
			"list":   ask(s, "GET", "/items"+c.query, nil),
		} {
			if got := read[noted](t, w, 200).Note; (got == nil) != (c.note == "") || got != nil && *got != c.note {
				t.Errorf("%s %s: %s", name, c.query, w.Body)
			}
		}
	}
	m.spaces = map[string][]index.Item{}
	w := ask(s, "POST", "/similar", []byte(`{"vector": `+x+`}`), "Content-Type", asJSON)
	if got := read[noted](t, w, 200).Note; got == nil || *got != "namespace default is empty" {
		t.Errorf("an empty index: %s", w.Body)
	}
}

// Metadata comes with the results unless turned off; unknown values are null.
func TestSimilarMetadata(t *testing.T) {
	s, _ := searched(t, nil)
	body := []byte(`{"vector": ` + unit(s, 0) + `, "k": 2}`)
	for query, want := range map[string]string{
		"":                    `[{"id":"a","score":1,"percentile":null,"metadata":{"label":"cat"},"source":"a.png","thumbnail":null},{"id":"c","score":0.6,"percentile":null,"metadata":{},"source":null,"thumbnail":null}]`,
		"with_metadata=true":  `"metadata":{"label":"cat"}`,
		"with_metadata=false": `[{"id":"a","score":1,"percentile":null},{"id":"c","score":0.6,"percentile":null}]`,
	} {
		if w := ask(s, "POST", "/similar?"+query, body, "Content-Type", asJSON); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	}
	form, kind := formOf(t, map[string]string{"with_metadata": "false", "k": "1", "filter": `{"label":"cat"}`}, map[string][]byte{"x": servertest.Photo(t, 0)})
	if w := ask(s, "POST", "/similar", form, "Content-Type", kind); w.Code != 200 || strings.Contains(w.Body.String(), "metadata") || !strings.Contains(w.Body.String(), `"id":"a"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A query without an answer is told why, in a sentence.
func TestSimilarRefused(t *testing.T) {
	s, m := searched(t, func(c *Config) { c.MaxItems = 80 })
	x := unit(s, 0)
	ask1 := func(query, body string) *httptest.ResponseRecorder {
		return ask(s, "POST", "/similar?"+query, []byte(body), "Content-Type", asJSON)
	}
	many := func(one string, n int) string { return "[" + strings.Repeat(one+",", n-1) + one + "]" }
	picture := base64.StdEncoding.EncodeToString(servertest.Photo(t, 0))
	for name, c := range map[string]struct {
		query, body string
		status      int
		words       string
	}{
		"nothing":              {"", `{}`, 400, "want exactly one of inputs, id, ids, vector and vectors"},
		"two kinds":            {"", `{"id": "a", "vector": ` + x + `}`, 400, "want exactly one of"},
		"two kinds, one empty": {"", `{"id": "a", "inputs": []}`, 400, "want exactly one of"},
		"no image":             {"", `{"inputs": []}`, 400, "no query"},
		"no id":                {"", `{"ids": []}`, 400, "no query"},
		"no vector":            {"", `{"vectors": []}`, 400, "no query"},
		"unknown field":        {"", `{"id": "a", "limit": 3}`, 400, "limit"},
		"short":                {"", `{"vector": [1]}`, 400, "vector: it has 1 numbers"},
		"the second is short":  {"", `{"vectors": [` + x + `, [1, 2]]}`, 400, "vector 1: it has 2 numbers"},
		"zero":                 {"", `{"vectors": [` + x + `, ` + strings.Replace(x, "1", "-0.0", 1) + `]}`, 400, "vector 1: it is zero"},
		"1e400":                {"", `{"vector": ` + strings.Replace(x, "1", "1e400", 1) + `}`, 400, "vector: 1e400, at 0, is not a finite"},
		"NaN":                  {"", `{"vector": ` + strings.Replace(x, "1", "NaN", 1) + `}`, 400, "JSON"},
		"Infinity as a text":   {"", `{"vector": ` + strings.Replace(x, "1", `"Infinity"`, 1) + `}`, 400, "Infinity"},
		"no numbers":           {"", `{"vectors": [{}]}`, 400, "not a list of numbers"},
		"no list of vectors":   {"", `{"vectors": 1}`, 400, "not a list"},
		"an id that is none":   {"", `{"id": 1}`, 400, "JSON"},
		"ids that are none":    {"", `{"ids": [1]}`, 400, "list of strings, not"},
		"k 0":                  {"k=0", `{"id": "a"}`, 400, "k 0: want a whole number from 1 to 1000"},
		"k 1001":               {"", `{"id": "a", "k": 1001}`, 400, "k 1001: want"},
		"k 1e1":                {"", `{"id": "a", "k": 1e1}`, 400, "k 1e1: want"},
		"k a text":             {"", `{"id": "a", "k": "3"}`, 400, "want a whole number"},
		"k 1e400":              {"k=1e400", `{"id": "a"}`, 400, "k 1e400: want"},
		"exclude":              {"exclude=a", `{"id": "a"}`, 400, "exclude: want a list of ids, as JSON"},
		"exclude a text":       {"", `{"id": "a", "exclude": "a"}`, 400, "exclude: want a list of ids"},
		"exclude no ids":       {"", `{"id": "a", "exclude": [1]}`, 400, "exclude: want a list of ids"},
		"exclude null":         {"exclude=null", `{"id": "a"}`, 400, "exclude: want a list of ids"},
		"exclude too many":     {"", `{"id": "a", "exclude": ` + many(`"a"`, 1001) + `}`, 413, "more than 1000 ids in exclude"},
		"an unknown parameter": {"filtr=1", `{"id": "a"}`, 400, "unknown parameter \"filtr\""},
		"threshold 1e400":      {"", `{"id": "a", "threshold": 1e400}`, 400, "threshold 1e400: want a number from -1 to 1"},
		"threshold NaN":        {"threshold=NaN", `{"id": "a"}`, 400, "threshold NaN"},
		"threshold 0x1p-2":     {"threshold=0x1p-2", `{"id": "a"}`, 400, "threshold 0x1p-2"},
		"threshold .5":         {"threshold=.5", `{"id": "a"}`, 400, "threshold .5: want a number from -1 to 1, as in JSON (0.5)"},
		"threshold 1.":         {"threshold=1.", `{"id": "a"}`, 400, "threshold 1."},
		"threshold +1":         {"threshold=%2B1", `{"id": "a"}`, 400, "threshold +1"},
		"threshold 01":         {"threshold=01", `{"id": "a"}`, 400, "threshold 01"},
		"threshold 2":          {"threshold=2", `{"id": "a"}`, 400, "threshold 2"},
		"with_metadata":        {"with_metadata=x", `{"id": "a"}`, 400, `with_metadata "x": want true or false`},
		"with_metadata a text": {"", `{"id": "a", "with_metadata": "yes"}`, 400, "want true or false"},
		"filter":               {"filter=x", `{"id": "a"}`, 400, "filter: "},
		"filter a list":        {"", `{"id": "a", "filter": []}`, 400, "filter: "},
		"filter's operator":    {"", `{"id": "a", "filter": {"a": {"$regex": "x"}}}`, 400, "$regex"},
		"namespace":            {"", `{"id": "a", "namespace": "\n"}`, 400, "control characters"},
		"too many images":      {"", `{"inputs": ` + many(`""`, 81) + `}`, 413, "more than 80 images"},
		"too many ids":         {"", `{"ids": ` + many(`""`, 81) + `}`, 413, "more than 80 ids"},
		"too many vectors":     {"", `{"vectors": ` + many(x, 81) + `}`, 413, "more than 80 vectors"},
		"too large an answer":  {"k=1000", `{"ids": ` + many(`"a"`, 70) + `}`, 413, "70 queries for 1000 items each"},
		"encoding_format":      {"", `{"inputs": ["` + picture + `"], "encoding_format": "base64"}`, 400, "encoding_format"},
	} {
		told(t, name, ask1(c.query, c.body), c.status, map[int]problem.Code{400: problem.BadRequest, 413: problem.TooLarge}[c.status], c.words)
	}
	if m.calls != 0 {
		t.Errorf("the index was asked %d times", m.calls)
	}
	field, kind := formOf(t, map[string]string{"normalize": "true"}, nil)
	told(t, "a part", ask(s, "POST", "/similar", field, "Content-Type", kind), 400, problem.BadRequest, `part "normalize" is neither a file`)
	told(t, "the type", ask(s, "POST", "/similar", nil, "Content-Type", "text/plain"), 415, problem.BadMediaType, "text/plain")
}

// A vector of length 1 can no longer be centred: it is rejected both for searching and for storing.
// Without a centre it is as good as any.
func TestNormalizedVectors(t *testing.T) {
	s, m := searched(t, nil)
	file := servertest.Photo(t, 1)
	text := func(query string) string {
		w := ask(s, "POST", "/embed"+query, file, "Content-Type", "image/png")
		return string(read[reply](t, w, 200).Data[0].Embedding)
	}
	raw, unit := text(""), text("?normalize=true")
	requests := map[string]func(v string) *httptest.ResponseRecorder{
		"search": func(v string) *httptest.ResponseRecorder {
			return ask(s, "POST", "/similar", []byte(`{"vector": `+v+`}`), "Content-Type", asJSON)
		},
		"searches": func(v string) *httptest.ResponseRecorder {
			return ask(s, "POST", "/similar", []byte(`{"vectors": [`+raw+`, `+v+`]}`), "Content-Type", asJSON)
		},
		"put": func(v string) *httptest.ResponseRecorder {
			return ask(s, "PUT", "/items/n", []byte(`{"vector": `+v+`}`), "Content-Type", asJSON)
		},
	}
	for name, send := range requests {
		m.binding.Center = nil
		for _, v := range []string{raw, unit} {
			if w := send(v); w.Code/100 != 2 {
				t.Errorf("%s without a centre: %d %s", name, w.Code, w.Body)
			}
		}
		m.binding.Center = make([]float32, m.binding.Dim)
		m.binding.Center[0] = 2
		if w := send(raw); w.Code/100 != 2 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		told(t, name, send(unit), 400, problem.BadRequest, "it has length 1: the index first subtracts the model's mean, which is impossible once vectors have been normalised to length 1: send them as the model gives them, without normalize")
	}
	w := ask(s, "POST", "/items", []byte(`{"items": [{"id": "p", "vector": `+unit+`}, {"id": "q", "vector": `+raw+`}]}`), "Content-Type", asJSON)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "vector: it has length 1: ") || m.Has("default", "p") || !m.Has("default", "q") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
