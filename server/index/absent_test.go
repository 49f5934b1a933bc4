package index

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index/filter"
)

// directory is one with the fields of each namespace.
type directory map[string][]string

func (d directory) Fields(namespace string) (fields []string, there bool) {
	fields, there = d[namespace]
	return fields, there
}

func (d directory) Names(most int) []string {
	if len(d) > most {
		return nil
	}
	return slices.Sorted(maps.Keys(d))
}

func TestAbsent(t *testing.T) {
	all := directory{"default": {"camera.make", "label"}, "holidays": nil}
	for _, c := range []struct{ namespace, filter, want string }{
		{"default", `{}`, ""},
		{"default", `{"label": 1, "camera.make": 2, "camera": {"$exists": true}}`, ""},
		{"holidas", `{}`, "namespace holidas is empty; did you mean holidays?"},
		{"x", `{"label": 1}`, "namespace x is empty; available: default, holidays"},
		{strings.Repeat("x", 500), `{}`, "namespace " + strings.Repeat("x", 500) + " is empty; available: default, holidays"},
		{"default", `{"$or": [{"lable": 1}]}`, "no item of namespace default has the field lable; did you mean label?"},
		{"default", `{"came": 1}`, "no item of namespace default has the field came; available: camera.make, label"},
		{"holidays", `{"label": 1}`, "no item of namespace holidays has the field label"},
	} {
		f, err := filter.Parse([]byte(c.filter))
		if err != nil {
			t.Fatal(err)
		}
		if got := Absent(all, c.namespace, f); got != c.want {
			t.Errorf("%.20s %s: %s, want %s", c.namespace, c.filter, got, c.want)
		}
	}
	if got := Absent(directory{}, "default", nil); got != "namespace default is empty" {
		t.Error(got)
	}
	many := directory{"holidays": nil}
	for i := range mostNames {
		many[fmt.Sprint(i)] = nil
	}
	if got := Absent(many, "holidas", nil); got != "namespace holidas is empty" {
		t.Errorf("of %d namespaces: %s", len(many), got)
	}
	if delete(many, "7"); !strings.HasSuffix(Absent(many, "holidas", nil), "did you mean holidays?") {
		t.Errorf("of %d namespaces: %s", len(many), Absent(many, "holidas", nil))
	}
}
