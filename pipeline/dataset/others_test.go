package dataset

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	if want := "5 files without an image extension (.bmp 2, .avif 1, .tar 1, none 1)"; set.OthersLine() != want {
		t.Errorf("%q, want %q", set.OthersLine(), want)
	}
	many := Set{others: others{count: map[string]int{".a": 1, ".b": 1, ".c": 1, ".d": 1, ".e": 1, ".f": 1, ".\x1b": 9}}}
	if want := `15 files without an image extension (".\x1b" 9, .a 1, .b 1, .c 1, .d 1, 2 other extensions)`; many.OthersLine() != want {
		t.Errorf("%q, want %q", many.OthersLine(), want)
	}
	one := Set{others: others{count: map[string]int{".bmp": 1}}}
	if want := "1 file without an image extension (.bmp 1)"; one.OthersLine() != want {
		t.Errorf("%q, want %q", one.OthersLine(), want)
	}
}

// An index on disk does not know the skipped files of unchanged folders.
func TestOthersOfASavedIndex(t *testing.T) {
	root, _ := folder(t, 3)
	opt := Options{Index: filepath.Join(t.TempDir(), "index")}
	long := time.Now().Add(-time.Hour) // changes of folders that have just changed may not show
	for i, want := range []string{"", "at least 1 file without an image extension (.bmp 1)"} {
		for _, dir := range []string{"", "kind0", "kind1", "kind2"} {
			if err := os.Chtimes(filepath.Join(root, dir), long, long); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if i == 1 {
			if err := os.WriteFile(filepath.Join(root, "kind0", "a.bmp"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		set, err := Open(t.Context(), root, opt)
		if err != nil || set.OthersLine() != want {
			t.Errorf("%v, %q, want %q", err, set.OthersLine(), want)
		}
	}
}

// A source without an image says what there is instead.
func TestNoImageButOthers(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct{ add, want string }{
		{"", ""}, {"a.bmp", ", but 1 file without an image extension (.bmp 1)"},
	} {
		if c.add != "" {
			if err := os.WriteFile(filepath.Join(root, c.add), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(t.Context(), root, Options{})
		var none *NoImage
		want := "find images: no image in " + root + " (.jpg, .jpeg, .png, .webp, .gif, .tif or .tiff)" + c.want
		if !errors.As(err, &none) || none.Source != root || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
