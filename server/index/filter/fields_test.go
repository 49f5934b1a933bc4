package filter

import (
	"fmt"
	"testing"
)

func TestFields(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "[]", `{"b": 1, "a.c": {"$gt": 1, "$lt": 3}}`: "[a.c b]",
		`{"$or": [{"x": 1}, {"$not": {"y": {"$exists": true}}}], "x": {"$in": [1]}}`: "[x y]",
	} {
		f, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.Fields()); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if (*Filter)(nil).Fields() != nil {
		t.Error("no filter has fields")
	}
}
