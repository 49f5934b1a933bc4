package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// read parses a filter that must be valid.
func read(t testing.TB, text string) *Filter {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

// The semantics of the language: metadata, filters that hold for it, and filters that do not.
var meaning = []struct {
	metadata   string
	holds, not []string
}{
	{`{}`,
		[]string{`{}`, `{"a":null}`, `{"a":{"$exists":false}}`, `{"a":{"$ne":1}}`, `{"a":{"$nin":[1]}}`, `{"a":{"$in":[null]}}`, `{"$not":{"a":1}}`, `{"a":{"$nin":[]}}`},
		[]string{`{"a":1}`, `{"a":{"$exists":true}}`, `{"a":{"$ne":null}}`, `{"a":{"$gt":0}}`, `{"a":{"$lte":""}}`, `{"$not":{}}`, `{"a":{"$in":[]}}`, `{"a":{"$nin":[1,null]}}`}},
	{`{"a":null}`,
		[]string{`{"a":null}`, `{"a":{"$exists":true}}`, `{"a":{"$ne":1}}`, `{"a":{"$in":[1,null]}}`},
		[]string{`{"a":{"$exists":false}}`, `{"a":{"$ne":null}}`, `{"a":{"$gte":0}}`, `{"a":false}`, `{"a":""}`}},
	{`{"label":"cat","year":2021}`,
		[]string{`{"label":"cat"}`, `{"label":{"$eq":"cat"}}`, `{"label":"cat","year":2021}`, `{"year":{"$gte":2021,"$lt":2022}}`, `{"label":{"$in":["dog","cat"]}}`,
			`{"$or":[{"label":"dog"},{"year":{"$gt":2020}}]}`, `{"$and":[{"label":"cat"},{"year":2021e0}]}`, `{"label":{"$gt":"ca","$lte":"cat"}}`, `{"$or":[{"x":1},{}]}`,
			`{"label":{"$ne":"dog"}}`, `{"year":{"$ne":"2021"}}`, `{"$not":{"label":"cat","year":2020}}`, `{"year":{"$in":[1,2021,3]}}`},
		[]string{`{"label":"Cat"}`, `{"label":"cat","year":2020}`, `{"year":"2021"}`, `{"year":{"$gt":2021}}`, `{"year":{"$lt":2021}}`, `{"label":{"$gt":0}}`, `{"year":{"$gt":""}}`,
			`{"label":{"$in":["cats","c"]}}`, `{"label":{"$nin":["cat"]}}`, `{"label":{"$ne":"cat"}}`, `{"$and":[{"label":"cat"},{"year":1}]}`, `{"$or":[{"label":"dog"},{"year":1}]}`,
			`{"label":{"$lt":"cat"}}`, `{"label":{"$gte":"cau"}}`, `{"label":null}`, `{"year":{"$in":[1,3]}}`}},
	{`{"taken":"2024-05-01T10:00:00Z","ok":true,"bad":false}`,
		[]string{`{"taken":{"$gte":"2024-05","$lt":"2024-06"}}`, `{"ok":true,"bad":false}`, `{"ok":{"$ne":false}}`, `{"bad":{"$in":[false]}}`},
		[]string{`{"taken":{"$lt":"2024"}}`, `{"ok":false}`, `{"bad":true}`, `{"ok":1}`, `{"bad":null}`, `{"ok":{"$gte":0}}`}},
	{`{"tags":["a",2,null,["b",[]]]}`, // a list stands for its elements
		[]string{`{"tags":"a"}`, `{"tags":2}`, `{"tags":null}`, `{"tags":"b"}`, `{"tags":{"$gt":1}}`, `{"tags":{"$gt":"a"}}`, `{"tags":{"$in":["x","b"]}}`, `{"tags":{"$exists":true}}`},
		[]string{`{"tags":"c"}`, `{"tags":{"$ne":"a"}}`, `{"tags":{"$nin":["x","b"]}}`, `{"tags":{"$gt":2}}`, `{"tags":true}`, `{"tags.0":"a"}`}},
	{`{"n":[0,9]}`, // different elements satisfy the two ends of the range
		[]string{`{"n":{"$gt":4,"$lt":5}}`}, []string{`{"n":{"$gt":9}}`}},
	{`{"a":{},"b":[],"c":[[],{}]}`, // present, without a value
		[]string{`{"a":{"$exists":true},"b":{"$exists":true},"c":{"$exists":true}}`, `{"a":{"$ne":1},"b":{"$ne":1}}`, `{"a":{"$ne":null},"b":{"$ne":null},"c":{"$ne":null}}`},
		[]string{`{"a":null}`, `{"b":null}`, `{"c":null}`, `{"a":""}`, `{"b":{"$gte":0}}`, `{"b":{"$in":[null,1]}}`}},
	{`{"camera":{"make":"x","lens":{"mm":50}}}`,
		[]string{`{"camera.make":"x"}`, `{"camera.lens.mm":{"$lte":50}}`, `{"camera":{"$exists":true}}`, `{"camera.lens":{"$exists":true}}`, `{"camera":{"$ne":null}}`},
		[]string{`{"make":"x"}`, `{"camera":"x"}`, `{"camera":null}`, `{"camera.lens.f":{"$exists":true}}`, `{"camera.":{"$exists":true}}`}},
	{`{"camera.make":"x"}`, // a dotted key is a field, but not an object
		[]string{`{"camera.make":"x"}`, `{"camera.make":{"$exists":true}}`, `{"camera":{"$exists":false}}`, `{"camera":null}`}, []string{`{"camera":{"$exists":true}}`}},
	{`{"boxes":[{"label":"cat","at":[1,2]},{"label":"dog"},7]}`, // objects in lists
		[]string{`{"boxes.label":"cat"}`, `{"boxes.label":"dog"}`, `{"boxes.at":2}`, `{"boxes":7}`, `{"boxes":{"$exists":true}}`},
		[]string{`{"boxes.label":{"$ne":"dog"}}`, `{"boxes.label":null}`, `{"boxes":"cat"}`}},
	{`{"a.b":1,"a":{"b":2,"c":3}}`, // two ways to write one field
		[]string{`{"a.b":1}`, `{"a.b":2}`, `{"a.b":{"$in":[2,3]}}`, `{"a.c":3}`}, []string{`{"a.b":3}`, `{"a.b":{"$ne":1}}`}},
	{`{"":1,"x":{"":"y"},"ä\u0000":"\ud834\udd1e"}`,
		[]string{`{"":1}`, `{"x.":"y"}`, `{"\u00e4\u0000":"𝄞"}`}, []string{`{"x":"y"}`}},
	{`{"n":-0.0,"big":9007199254740993,"huge":1e308,"tiny":1e-999}`,
		[]string{`{"n":0}`, `{"n":{"$gte":0}}`, `{"n":{"$in":[-0,1]}}`, `{"n":{"$gt":-5e-324}}`, `{"big":9007199254740992}`, `{"huge":{"$gt":1e307}}`, `{"tiny":0}`},
		[]string{`{"n":{"$lt":0}}`, `{"n":{"$gt":0}}`, `{"huge":{"$gt":1.7976931348623157e308}}`}},
	{`{"$eq":1,"a":{"$gt":2}}`, []string{`{"a.$gt":2}`}, []string{`{"a":{"$gt":1}}`}},
}

func TestMeaning(t *testing.T) {
	for _, c := range meaning {
		for i, f := range append(c.holds[:len(c.holds):len(c.holds)], c.not...) {
			if got, want := read(t, f).Holds([]byte(c.metadata)), i < len(c.holds); got != want {
				t.Errorf("%s holds for %s: %v", f, c.metadata, got)
			}
			if got, want := matches(t, read(t, f), c.metadata), i < len(c.holds); got != want {
				t.Errorf("%s matches %s: %v", f, c.metadata, got)
			}
		}
	}
}

// matches applies the filter to a page of one row.
func matches(t testing.TB, f *Filter, metadata string) bool {
	t.Helper()
	d := NewDictionary()
	r, err := d.Encode([]byte(metadata))
	if err != nil {
		t.Fatal(err)
	}
	into := []uint64{^uint64(0), ^uint64(0)}
	n := f.Compile(d.View()).Match(Page{}.With(0, r), 1, into)
	if n > 1 || into[0] != uint64(n) || into[1] != 0 {
		t.Fatalf("%d matches, bits %x", n, into)
	}
	return n == 1
}

// A filter without conditions holds for everything, even for invalid metadata.
func TestNoFilter(t *testing.T) {
	for _, f := range []*Filter{nil, {}, read(t, " { } ")} {
		if !f.Holds([]byte(`{"a":1}`)) || !f.Holds(nil) || !f.Holds([]byte("junk")) || f.String() != "{}" || !matches(t, f, `{"a":1}`) {
			t.Errorf("%v does not hold for everything", f)
		}
	}
	if read(t, `{"a":null}`).Holds([]byte("junk")) {
		t.Error("a filter holds for junk")
	}
	if !read(t, `{"a":null}`).Holds(nil) {
		t.Error("no metadata is not like an empty object")
	}
}

func TestCanonical(t *testing.T) {
	for _, c := range [][2]string{
		{` { "b" : {"$eq":1e0} , "a":"x" } `, `{"a":"x","b":1}`},
		{`{"a":{"$lt":2,"$gte":-0}}`, `{"a":{"$gte":0,"$lt":2}}`},
		{`{"a":{"$in":["b",true,1,"a",null,1.0]}}`, `{"a":{"$in":[null,true,1,"a","b"]}}`},
		{`{"a":{"$nin":[]}}`, `{"a":{"$nin":[]}}`},
		{`{"$or":[{"b":1},{"$not":{"a":{"$exists":true}}}],"$and":[{}]}`, `{"$and":[{}],"$or":[{"b":1},{"$not":{"a":{"$exists":true}}}]}`},
		{`{"\u003c&\n":"\u00e4>"}`, `{"<&\n":"ä>"}`},
	} {
		f := read(t, c[0])
		if f.String() != c[1] {
			t.Errorf("%s is %s, not %s", c[0], f, c[1])
		}
		if again := read(t, f.String()); again.String() != c[1] {
			t.Errorf("%s is then %s", f, again)
		}
	}
}

// A filter can be embedded in other JSON.
func TestFilterInJSON(t *testing.T) {
	var q struct{ Filter, None, Null *Filter }
	if err := json.Unmarshal([]byte(`{"Filter":{"a":{"$gt":1}},"Null":null}`), &q); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(q); err != nil || string(b) != `{"Filter":{"a":{"$gt":1}},"None":null,"Null":null}` {
		t.Errorf("%s, %v", b, err)
	}
	err := json.Unmarshal([]byte(`{"Filter":{"a":{"$gt":null}}}`), &q)
	if err == nil || !strings.Contains(err.Error(), "filter: a.$gt: want a number or a string, not null") {
		t.Error(err)
	}
	f := Filter{root: read(t, `{"a":1}`).root}
	if err := f.UnmarshalJSON([]byte("null")); err != nil || f.String() != `{"a":1}` {
		t.Errorf("null makes %v, %v", &f, err)
	}
}

func ExampleFilter() {
	f, err := Parse([]byte(`{"label":{"$in":["cat","dog"]},"year":{"$gte":2020}}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Holds([]byte(`{"label":"dog","year":2024}`)), f.Holds([]byte(`{"label":"dog"}`)))
	_, err = Parse([]byte(`{"label":{"$gte2":"cat"}}`))
	fmt.Println(err)
	// Output:
	// true false
	// filter: label: unknown operator $gte2; did you mean $gte?
}
