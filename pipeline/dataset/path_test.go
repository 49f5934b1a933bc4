package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// resolved resolves the links in a path, as temporary folders may contain some.
func resolved(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

func TestPathsAndRoots(t *testing.T) {
	tree, _ := folder(t, 6)
	tree = resolved(t, tree)
	tars := resolved(t, packedShards(t))
	one, err := filepath.Glob(filepath.Join(tars, "*.tar"))
	if err != nil || len(one) < 2 {
		t.Fatal(one, err)
	}
	listed := filepath.Join(t.TempDir(), "list.txt")
	elsewhere := filepath.Join(tree, "kind0", "000.jpg")
	if err := os.WriteFile(listed, []byte(elsewhere+"\nnone.jpg\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		roots []string
	}{
		{tree, []string{tree}}, {tars, []string{tars}}, {one[0], one[:1]}, {listed, nil},
		{filepath.Join(tars, "{"+filepath.Base(one[0])+","+filepath.Base(one[1])+"}"), one[:2]},
	} {
		set := open(t, c.name, NoIndex)
		if got := set.Roots(); !slices.Equal(got, c.roots) {
			t.Errorf("%s: roots %q, want %q", c.name, got, c.roots)
		}
		for i := range set.Len() {
			path := set.Path(i)
			switch {
			case c.roots == nil && !filepath.IsAbs(path):
				t.Errorf("%s: path %q", c.name, path)
			case c.roots != nil && !slices.ContainsFunc(c.roots, func(r string) bool { return strings.HasPrefix(path, r+"/") }):
				t.Errorf("%s: path %q is below none of %q", c.name, path, c.roots)
			}
		}
	}
	if got := open(t, tree, NoIndex).Path(0); got != elsewhere {
		t.Errorf("path %q, want %q", got, elsewhere)
	}
	if set := open(t, listed, NoIndex); set.Path(0) != elsewhere || set.Path(1) != filepath.Join(resolved(t, filepath.Dir(listed)), "none.jpg") {
		t.Errorf("listed: %q, %q", set.Path(0), set.Path(1))
	}
	set := open(t, one[0], NoIndex)
	if got, want := set.Path(0), one[0]+"/"+strings.TrimPrefix(set.Key(0), filepath.Base(one[0])+"/"); got != want {
		t.Errorf("member: %q, want %q", got, want)
	}
}
