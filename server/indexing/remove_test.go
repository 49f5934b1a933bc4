package indexing

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// Either all named items are removed or none; a namespace is removed as a whole.
func TestRemove(t *testing.T) {
	model, file, dir := colour(t, 255), filepath.Join(t.TempDir(), "photos.index"), colours(t, 6)
	said(t, "add", dir, "--index", file, "--model", model)
	said(t, "add", dir, "--index", file, "--model", model, "--namespace", "other", "--prefix", "-x/")
	left := func() (defaults, others int) {
		f := opened(t, file)
		for _, ns := range f.Namespaces() {
			switch ns.Name {
			case index.DefaultNamespace:
				defaults = ns.Items
			case "other":
				others = ns.Items
			}
		}
		return defaults, others
	}
	for words, args := range map[string][]string{
		"FILE or --server URL is missing": {}, "ID or --namespace NAME --all is missing": {file}, "an ID is empty": {file, ""},
		"--all requires --namespace":                   {file, "--all"},
		"give either IDs or --all":                     {file, "00.png", "--namespace", "other", "--all"},
		"--api-key-file requires --server":             {file, "00.png", "--api-key-file", "x"},
		"namespace othr is empty; did you mean other?": {file, "--namespace", "othr", "--all"},
		"namespace default of " + file + ": a, b, c, d, e and 1 more; nothing was removed": {file, "00.png", "f", "e", "d", "c", "b", "a", "a"},
		"not exist": {filepath.Join(dir, "none.index"), "a"},
	} {
		wrong(t, words, append([]string{"remove"}, args...)...)
	}
	if a, b := left(); a != 6 || b != 6 {
		t.Fatalf("%d and %d items are left", a, b)
	}
	want(t, said(t, "remove", file, "00.png", "01.png", "00.png"), "removed 2 items of namespace default from "+file)
	want(t, said(t, "remove", file, "--namespace", "other", "--", "-x/03.png"), "removed 1 item of namespace other")
	if a, b := left(); a != 4 || b != 5 {
		t.Errorf("%d and %d items are left", a, b)
	}
	want(t, said(t, "remove", file, "--namespace", "other", "--all"), "removed 5 items of namespace other")
	if a, b := left(); a != 4 || b != 0 {
		t.Errorf("%d and %d items are left", a, b)
	}
	said(t, "check", file)
	wrong(t, "namespace other is empty", "remove", file, "--namespace", "other", "--all")
}

// Items that others remove meanwhile are not counted.
func TestRemoveCountsItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		status map[string]int // of deletions, by id
		want   string
		failed string
	}{
		"all":         {nil, "removed 3 items of namespace n from ", ""},
		"one is gone": {map[string]int{"b": 404}, "removed 2 items of namespace n from URL; 1 more had already been removed by others\n", ""},
		"all gone":    {map[string]int{"a": 404, "b": 404, "c": 404}, "removed 0 items of namespace n from URL; 3 more had already been removed by others\n", ""},
		"it breaks":   {map[string]int{"b": 404, "c": 500}, "removed 1 item of namespace n from URL\n", "the server refused the request: no more (500)"},
		"at once":     {map[string]int{"a": 500}, "", "the server refused the request: no more (500)"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status := c.status[strings.TrimPrefix(r.URL.Path, "/items/")]
			switch {
			case r.URL.Path == "/info":
				io.WriteString(w, `{"fingerprint":"f00d","dim":3,"limits":{"body_bytes":4000,"images":5},"index":{"fingerprint":"f00d","similarity":"cosine"}}`)
			case r.Method == http.MethodDelete && status != 0:
				refuse(w, status, "no more")
			}
		}))
		defer s.Close()
		var out bytes.Buffer
		err := Index(t.Context(), []string{"remove", "--server", s.URL, "--namespace", "n", "c", "a", "b"}, &out, io.Discard)
		if (err == nil) != (c.failed == "") || err != nil && !strings.Contains(err.Error(), c.failed) {
			t.Errorf("%s: %v", name, err)
		}
		if got := out.String(); !strings.HasPrefix(got, strings.Replace(c.want, "URL", s.URL, 1)) || c.want == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Errors in a subcommand's arguments refer to that subcommand's help.
func TestWordsHaveTheirOwnHelp(t *testing.T) {
	for _, w := range words() {
		var wrong *usage.Error
		err := Index(t.Context(), []string{w.name, "--nonsense"}, io.Discard, io.Discard)
		if !errors.As(err, &wrong) || wrong.Command != "index "+w.name {
			t.Errorf("%s: %v, %+v", w.name, err, wrong)
		}
	}
}
