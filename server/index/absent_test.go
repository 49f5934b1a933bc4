package index

import (
	"strings"
	"testing"

	"vicreg/server/index/filter"
)

func TestAbsent(t *testing.T) {
	all := []NamespaceInfo{{"default", 3, []string{"camera.make", "label"}}, {"holidays", 1, nil}}
	for _, c := range []struct{ namespace, filter, want string }{
		{"default", `{}`, ""},
		{"default", `{"label": 1, "camera.make": 2, "camera": {"$exists": true}}`, ""},
		{"holidas", `{}`, "there is nothing in namespace holidas; did you mean holidays?"},
		{"x", `{"label": 1}`, "there is nothing in namespace x; there is default, holidays"},
		{strings.Repeat("x", 500), `{}`, "there is nothing in namespace " + strings.Repeat("x", 500) + "; there is default, holidays"},
		{"default", `{"$or": [{"lable": 1}]}`, "no item of namespace default has the field lable; did you mean label?"},
		{"default", `{"came": 1}`, "no item of namespace default has the field came; there is camera.make, label"},
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
	if got := Absent(nil, "default", nil); got != "there is nothing in namespace default" {
		t.Error(got)
	}
}
