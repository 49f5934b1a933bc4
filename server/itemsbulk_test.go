package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

type bulkReply struct {
	Namespace string
	Data      []struct {
		Index   int
		ID      string
		Created *bool
		Error   *problem.Document
	}
}

// outcomes lists the ids of an answer with the outcome of each.
func (r bulkReply) outcomes() (all []string) {
	for i, d := range r.Data {
		text := fmt.Sprintf("%d %s", d.Index, d.ID)
		switch {
		case d.Index != i:
			text = "out of order"
		case d.Error != nil:
			text += fmt.Sprintf(" %d", d.Error.Status)
		default:
			text += fmt.Sprintf(" %v", *d.Created)
		}
		all = append(all, text)
	}
	return all
}

// Each of many items has its own result; the valid ones are stored, and of two with the same id the
// later one wins.
func TestManyItems(t *testing.T) {
	s, m := indexed(t, nil)
	good := base64.StdEncoding.EncodeToString(servertest.Photo(t, 0))
	body := fmt.Sprintf(`{"namespace": "n", "items": [
		{"id": "a/b.png", "image": %q, "metadata": {"label": "x"}, "source": "a/b.png"},
		{"id": "v", "vector": %s},
		{"id": "bad", "image": "aGVsbG8="},
		{"id": "", "vector": %[2]s},
		{"id": "short", "vector": [1]},
		{"id": "neither"},
		{"id": "meta", "vector": %[2]s, "metadata": 3},
		{"id": "v", "vector": %s, "metadata": {"label": "y"}},
		null
	]}`, good, unit(s, 0), unit(s, 1))
	w := ask(s, "POST", "/items?namespace=other", []byte(body), "Content-Type", asJSON)
	got := read[bulkReply](t, w, 200)
	want := []string{"0 a/b.png true", "1 v true", "2 bad 422", "3  400", "4 short 400", "5 neither 400", "6 meta 400", "7 v false", "8  400"}
	if !slices.Equal(got.outcomes(), want) || got.Namespace != "n" {
		t.Errorf("%v %s", got.outcomes(), got.Namespace)
	}
	if m.Len() != 2 || string(m.spaces["n"][1].Metadata) != `{"label": "y"}` || w.Header().Get("X-Batch-Size") != "1" {
		t.Errorf("%d items, %v", m.Len(), w.Header())
	}
	again := read[bulkReply](t, ask(s, "POST", "/items", []byte(body), "Content-Type", asJSON), 200)
	if again.outcomes()[0] != "0 a/b.png false" {
		t.Errorf("%v", again.outcomes())
	}
}

// In a form, the file's name is the id, including directories.
func TestManyFiles(t *testing.T) {
	s, m := indexed(t, nil)
	body, kind := formOf(t, map[string]string{"namespace": "n"}, map[string][]byte{"a/b c%.png": servertest.Photo(t, 0), `d\\e.png`: servertest.Photo(t, 1), "bad": []byte("x")})
	got := read[bulkReply](t, ask(s, "POST", "/items", body, "Content-Type", kind), 200)
	if len(got.Data) != 3 || m.Len() != 2 || !m.Has("n", "a/b c%.png") || !m.Has("n", `d\e.png`) {
		t.Errorf("%v, %+v", got.outcomes(), m.spaces)
	}
}

func TestManyItemsRefused(t *testing.T) {
	s, m := indexed(t, func(c *Config) { c.MaxItems = 2 })
	item := fmt.Sprintf(`{"id": "a", "vector": %s}`, unit(s, 0))
	files, kind := form(t, servertest.Photo(t, 0), servertest.Photo(t, 1), servertest.Photo(t, 2))
	field, fieldKind := formOf(t, map[string]string{"metadata": "{}"}, nil)
	for name, c := range map[string]struct {
		kind, body string
		status     int
		words      string
	}{
		"none":          {asJSON, `{}`, 400, "no item"},
		"empty":         {asJSON, `{"items": []}`, 400, "no item"},
		"null":          {asJSON, `{"items": null}`, 400, "no item"},
		"no list":       {asJSON, `{"items": {}}`, 400, "not a list"},
		"unknown":       {asJSON, `{"items": [], "filter": {}}`, 400, "filter"},
		"unknown below": {asJSON, `{"items": [` + item + `, {"id": "b", "vectors": []}]}`, 400, "item 1 cannot be read"},
		"a text":        {asJSON, `{"items": ["a"]}`, 400, "item 0 cannot be read"},
		"a number":      {asJSON, `{"items": [{"id": 1}]}`, 400, "item 0 cannot be read"},
		"too many":      {asJSON, `{"items": [` + strings.Repeat(item+",", 2) + item + `]}`, 413, "more than 2 items"},
		"many files":    {kind, string(files), 413, "more than 2 items"},
		"a field":       {fieldKind, string(field), 400, "is neither a file"},
		"an image":      {"image/png", string(servertest.Photo(t, 0)), 415, "send multipart/form-data"},
	} {
		w := ask(s, "POST", "/items", []byte(c.body), "Content-Type", c.kind)
		told(t, name, w, c.status, map[int]problem.Code{400: problem.BadRequest, 413: problem.TooLarge, 415: problem.BadMediaType}[c.status], c.words)
	}
	if m.Len() != 0 {
		t.Errorf("%d items are stored", m.Len())
	}
}

type listReply struct {
	Namespace string
	Total     int
	Data      []storedItem
	Next      *string
}

// A listing returns every item exactly once, page by page, in insertion order.
func TestListing(t *testing.T) {
	s, _ := indexed(t, nil)
	for i := range 5 {
		body := fmt.Sprintf(`{"vector": %s, "metadata": {"even":"%v"}}`, unit(s, i), i%2 == 0)
		read[storedItem](t, ask(s, "PUT", fmt.Sprintf("/items/%d", i), []byte(body), "Content-Type", asJSON), 201)
	}
	var ids []string
	for after := ""; ; {
		page := read[listReply](t, ask(s, "GET", "/items?limit=2&after="+after, nil), 200)
		for _, it := range page.Data {
			ids = append(ids, it.ID)
		}
		if page.Total != 5 || page.Namespace != "default" || len(page.Data) > 2 {
			t.Fatalf("%+v", page)
		}
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if strings.Join(ids, "") != "01234" {
		t.Errorf("%v", ids)
	}
	even := read[listReply](t, ask(s, "GET", `/items?filter=%7B%22even%22:%22true%22%7D`, nil), 200)
	if even.Total != 3 || len(even.Data) != 3 || even.Next != nil {
		t.Errorf("%+v", even)
	}
	if w := ask(s, "GET", "/items?namespace=none", nil); !strings.Contains(w.Body.String(), `"data":[],`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for query, words := range map[string]string{
		"limit=0": "from 1 to 1000", "limit=1001": "from 1 to 1000", "limit=x": "from 1 to 1000", "after=x": "from the previous page", "after=-1": "from the previous page",
		"filter=x": "filter: ", "filter=[]": "filter: ", "namespace=%00": "control",
	} {
		told(t, query, ask(s, "GET", "/items?"+query, nil), 400, problem.BadRequest, words)
	}
}

func TestNamespaces(t *testing.T) {
	s, m := indexed(t, nil)
	if w := ask(s, "GET", "/namespaces", nil); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"data":[]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	v := make([]float32, m.binding.Dim)
	v[0] = 1
	for _, name := range []string{"b", "a"} {
		if _, err := m.Upsert(t.Context(), name, index.Item{ID: "x", Vector: v, Metadata: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if w := ask(s, "GET", "/namespaces", nil); strings.TrimSpace(w.Body.String()) != `{"data":[{"name":"a","items":1,"fields":[]},{"name":"b","items":1,"fields":[]}]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
