package indexing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/server/index"
)

// An item is gone if and only if its file is, not because DIR was another folder the last time
// and ids differ.
func TestPlanFindsWhatIsGone(t *testing.T) {
	p := t.TempDir()
	shard := filepath.Join(p, "tars", "1.tar")
	put(t, filepath.Join(p, "a"), nil)
	put(t, filepath.Join(p, "sub", "b"), nil)
	put(t, shard, nil)
	plan := &plan{known: map[string]known{}}
	for id, name := range map[string]string{"a": "a", "b": "sub/b", "sub/b": "sub/b", "lost": "lost", "far": "far/away/x", "e": "tars/1.tar/e", "f": "tars/2.tar/f", "g": "../g"} {
		plan.known[id] = known{source: filepath.Join(p, name)}
	}
	plan.known["none"], plan.known["relative"] = known{}, known{source: "lost"}
	for i, c := range []struct {
		roots           []string
		tars            bool
		ids             map[string]string // to names of sources
		gone, elsewhere []string
	}{
		{[]string{p}, false, map[string]string{"a": "a"}, []string{"f", "far", "lost"}, nil},
		{[]string{p}, false, map[string]string{"sub/b": "sub/b", "lost": "new"}, []string{"f", "far"}, []string{"b"}},
		{[]string{p}, false, map[string]string{"x/a": "a", "x/sub/b": "sub/b"}, []string{"f", "far", "lost"}, []string{"a", "b", "sub/b"}},
		{[]string{filepath.Join(p, "sub")}, false, map[string]string{"c": "sub/c"}, nil, nil},
		{[]string{filepath.Join(p, "tars")}, true, map[string]string{"1.tar/z": "tars/1.tar/z"}, []string{"e", "f"}, nil},
		{[]string{shard}, true, map[string]string{"1.tar/e": "tars/1.tar/e"}, nil, []string{"e"}},
		{[]string{shard}, true, nil, []string{"e"}, nil},
		{[]string{"/"}, false, nil, []string{"f", "far", "g", "lost"}, nil},
		{nil, false, map[string]string{"x": "lost"}, nil, []string{"lost"}},
	} {
		from := &origin{roots: c.roots, tars: c.tars, paths: func(yield func(id, source string) bool) {
			for id, name := range c.ids {
				if !yield(id, filepath.Join(p, name)) {
					return
				}
			}
		}}
		gone, elsewhere := plan.leftOver(from)
		if !slices.Equal(gone, c.gone) || !slices.Equal(elsewhere, c.elsewhere) {
			t.Errorf("case %d: gone %q, want %q; elsewhere %q, want %q", i, gone, c.gone, elsewhere, c.elsewhere)
		}
	}
	if gone, elsewhere := plan.leftOver(&origin{}); gone != nil || elsewhere != nil {
		t.Errorf("of vectors: %q, %q", gone, elsewhere)
	}
}

// --prune with a folder inside or around what was indexed removes nothing.
func TestPruneOfAnotherFolder(t *testing.T) {
	dir, model, file := colours(t, 3), colour(t, 1), filepath.Join(t.TempDir(), "x.index")
	for _, name := range []string{"a.png", "b.png"} {
		put(t, filepath.Join(dir, "checks", name), filled(t, name[0], 1, 1))
	}
	to := []string{"--index", file, "--model", model}
	said(t, append([]string{"add", dir}, to...)...)
	want(t, said(t, append([]string{"add", filepath.Join(dir, "checks"), "--prune"}, to...)...), "2 new", "; 7 items",
		"already indexed under another id: 2 images, such as checks/a.png\n")
	out := said(t, append([]string{"add", filepath.Dir(dir), "--prune"}, to...)...)
	want(t, out, "5 new", "; 12 items", "already indexed under another id: 7 images, such as 00.png\n")
	if strings.Contains(out, "removed") || !opened(t, file).Has(index.DefaultNamespace, "checks/a.png") {
		t.Errorf("pruned: %s", out)
	}
	if err := os.Remove(filepath.Join(dir, "checks", "a.png")); err != nil {
		t.Fatal(err)
	}
	want(t, said(t, append([]string{"add", dir, "--prune"}, to...)...), "removed 3 images", "; 9 items",
		"gone       a.png\n", "gone       checks/a.png\n", "gone       photos/checks/a.png\n")
}
