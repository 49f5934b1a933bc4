package filter

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse parses arbitrary text as a filter: what is accepted is JSON, means the same in its
// canonical form, and agrees with the oracle about what it holds for.
func FuzzParse(f *testing.F) {
	for _, c := range meaning {
		for _, text := range append(c.holds[:len(c.holds):len(c.holds)], c.not...) {
			f.Add([]byte(text), []byte(c.metadata))
		}
	}
	f.Add([]byte(`{"a":{"$gte2":1}}`), []byte(`{"a":1}`))
	f.Add([]byte(`{"\ud800":"\u2028<"}`), []byte(`{"\ufffd":"\u2028<"}`))
	f.Fuzz(func(t *testing.T, text, metadata []byte) {
		filter, err := Parse(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "filter: ") || !utf8.ValidString(err.Error()) || len(err.Error()) > 2000 || filter != nil {
				t.Errorf("%v: %q", filter, err)
			}
			return
		}
		again, err := parse([]byte(filter.String())) // which may exceed MaxText
		if err != nil || again.String() != filter.String() {
			t.Fatalf("%s is then %v, %v", filter, again, err)
		}
		if CheckMetadata(metadata) != nil || len(metadata) == 0 {
			return
		}
		holds := filter.Holds(metadata)
		if again.Holds(metadata) != holds || matches(t, filter, string(metadata)) != holds {
			t.Errorf("%s, holds for %s: %v; not the same in another way", filter, metadata, holds)
		}
		var plainFilter, plainMetadata any
		if err := errors.Join(json.Unmarshal(text, &plainFilter), json.Unmarshal(metadata, &plainMetadata)); err != nil {
			t.Fatal(err)
		}
		if expected(plainFilter, plainMetadata) != holds {
			t.Errorf("%s holds for %s: %v", filter, metadata, holds)
		}
	})
}

// FuzzMetadata parses arbitrary text as metadata: what is accepted is a JSON object, all of it is
// found again, and rows survive a round trip.
func FuzzMetadata(f *testing.F) {
	for _, c := range meaning {
		f.Add([]byte(c.metadata))
	}
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(` {"a":[[[{"b":[{}]}]]]}x`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ReadMetadata(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "metadata: ") || !utf8.ValidString(err.Error()) || len(err.Error()) > 2000 {
				t.Errorf("%q", err)
			}
			return
		}
		var object map[string]any
		if len(text) > 0 && (json.Unmarshal(text, &object) != nil || object == nil) {
			t.Fatalf("%q is no object", text)
		}
		d := NewDictionary()
		row, err := d.Add(m)
		if err != nil {
			return // many nested objects
		}
		p := Page{}.With(77, row)
		if got := p.Row(77); len(got.cells) != len(m.fields) {
			t.Errorf("%d fields of %d", len(got.cells), len(m.fields))
		}
		for _, field := range m.fields {
			if strings.HasPrefix(field.name, "$") {
				continue
			}
			for _, v := range field.values {
				asked := &Filter{root: object1(field.name, test{"$eq", []scalar{v}})}
				if !asked.HoldsFor(m) || asked.Compile(d.View()).Match(p, 78, make([]uint64, 2)) == 0 {
					t.Errorf("%q is not found by %s", text, asked)
				}
				if again, err := parse([]byte(asked.String())); err != nil || !again.HoldsFor(m) {
					t.Errorf("%q is not found by %s as text: %v", text, asked, err)
				}
			}
		}
	})
}

func object1(field string, t test) object { return object{{key: field, tests: []test{t}}} }
