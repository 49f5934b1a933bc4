package indexing

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"vicreg/pipeline/bulk"
)

func add(id, source, label string) addition { return addition{id: id, source: source, label: label} }

func TestPlan(t *testing.T) {
	one, two := bulk.Hash{1}, bulk.Hash{2}
	p := &plan{root: "/photos",
		known: map[string]known{
			"a":     {one, json.RawMessage(`{"n":1}`), "/photos/a", false},
			"b":     {one, nil, "/photos/b", false},
			"named": {one, json.RawMessage(`{"n":1,"label":"mine"}`), "/photos/named", false},
			"bare":  {bulk.Hash{}, nil, "/photos/bare", false},
		},
		rows: rows{"b": json.RawMessage(`{"n":2}`), "new": json.RawMessage(`{"n":3}`), "own": json.RawMessage(`{"label":"own"}`)},
	}
	for _, c := range []struct {
		addition
		hash bulk.Hash
		want deed
		says string
	}{
		{add("a", "/photos/a", ""), one, leave, `{"n":1}`},
		{add("a", "/photos/a", "folder"), one, leave, `{"n":1}`}, // nobody asked to change it
		{add("a", "/elsewhere/a", ""), one, describe, `{"n":1}`},
		{add("a", "/photos/a", ""), two, replace, `{"n":1}`},
		{add("b", "/photos/b", ""), one, describe, `{"n":2}`},
		{add("b", "/photos/b", "folder"), one, describe, `{"label":"folder","n":2}`},
		{add("named", "/photos/named", "x"), one, leave, `{"n":1,"label":"mine"}`},
		{add("bare", "/photos/bare", ""), one, replace, ``},
		{add("other", "/photos/other", ""), one, insert, ``},
		{add("other", "/photos/other", `a "b"`), one, insert, `{"label":"a \"b\""}`},
		{add("new", "/photos/new", "x"), one, insert, `{"label":"x","n":3}`},
		{add("/photos/new", "", ""), one, insert, `{"n":3}`},
		{add("own", "/photos/own", "x"), one, insert, `{"label":"own"}`},
		{addition{id: "brings", own: json.RawMessage(`{"n":4}`)}, one, insert, `{"n":4}`},
		{addition{id: "new", own: json.RawMessage(`{"n":4}`)}, one, insert, `{"n":3}`},
		{addition{id: "a", source: "/photos/a", own: json.RawMessage(`{"n":4}`)}, one, describe, `{"n":4}`},
	} {
		if got := p.judge(c.addition, c.hash); got != c.want {
			t.Errorf("%+v: deed %d, want %d", c.addition, got, c.want)
		}
		if got := p.metadata(c.addition); string(got) != c.says {
			t.Errorf("%+v: metadata %s, want %s", c.addition, got, c.says)
		}
	}
	p.prefix = "pre/"
	p.rows["pre/b"] = json.RawMessage(`{"n":5}`)
	for id, says := range map[string]string{"pre/new": `{"n":3}`, "pre/b": `{"n":5}`, "pre/x": ``} {
		if got := p.metadata(addition{id: id}); string(got) != says {
			t.Errorf("%s: metadata %s, want %s", id, got, says)
		}
	}
	if got := p.unmatched(slices.Values([]string{"pre/b", "pre/own"})); !slices.Equal(got, []string{"new"}) {
		t.Errorf("unmatched with a prefix: %q", got)
	}
	p.prefix = ""
	delete(p.rows, "pre/b")
	if got := p.unmatched(slices.Values([]string{"new", "x", "/photos/b"})); !slices.Equal(got, []string{"own"}) {
		t.Errorf("unmatched: %q", got)
	}
}

func TestPlanKeepsAccount(t *testing.T) {
	p := &plan{}
	for i := range int(deeds) {
		p.did(deed(i), i+1)
	}
	p.refuse("x", "two\nlines")
	if got := fmt.Sprint(p.finished(), p.bad, p.done); got != "16 [{x two lines}] [1 2 3 4 5]" {
		t.Error(got)
	}
}
