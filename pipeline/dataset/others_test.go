package dataset

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestOthersAreCounted(t *testing.T) {
	root, _ := folder(t, 3)
	if line := index(t, root).OthersLine(); line != "" {
		t.Errorf("in a folder of images: %q", line)
	}
	for _, name := range []string{"a.bmp", "kind0/B.BMP", "kind0/c.avif", "kind1/noending", "kind1/t.tar", ".hidden.bmp", ".git/d.bmp"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	set, err := Open(t.Context(), root, Options{Index: NoIndex})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{".bmp": 2, ".avif": 1, "none": 1, ".tar": 1}; !maps.Equal(set.Others(), want) || set.Len() != 3 {
		t.Errorf("%v, want %v", set.Others(), want)
	}
	if want := "5 files with other endings than those of images (.bmp 2, .avif 1, .tar 1, none 1)"; set.OthersLine() != want {
		t.Errorf("%q, want %q", set.OthersLine(), want)
	}
	many := Set{others: map[string]int{".a": 1, ".b": 1, ".c": 1, ".d": 1, ".e": 1, ".f": 1, ".\x1b": 9}}
	if want := `15 files with other endings than those of images (".\x1b" 9, .a 1, .b 1, .c 1, .d 1, 2 other endings)`; many.OthersLine() != want {
		t.Errorf("%q, want %q", many.OthersLine(), want)
	}
	one := Set{others: map[string]int{".bmp": 1}}
	if want := "1 file with other endings than those of images (.bmp 1)"; one.OthersLine() != want {
		t.Errorf("%q, want %q", one.OthersLine(), want)
	}
}
