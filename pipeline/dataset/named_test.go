package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An image file is a set by itself, with its file name as the key.
func TestOneImage(t *testing.T) {
	root := resolved(t, t.TempDir())
	for i, key := range []string{"sub/a.png", "sub/b.jpg", "odd[1].png", "x.png"} {
		write(t, root, key, i)
	}
	os.Rename(filepath.Join(root, "x.png"), filepath.Join(root, "no ending"))
	links(t, root, map[string]string{"link.png": "sub/a.png", "other": "sub"})
	for name, size := range map[string][2]int{
		"sub/a.png": {20, 18}, "sub/b.jpg": {21, 19}, "odd[1].png": {22, 20}, "no ending": {23, 21}, "link.png": {20, 18}, "other/b.jpg": {21, 19},
	} {
		s := open(t, filepath.Join(root, name), NoIndex)
		if want := filepath.Base(name) + " []"; s.Len() != 1 || lines(s)[0] != want {
			t.Errorf("%s: %q, want %q", name, lines(s), want)
			continue
		}
		m, err := NewReader(s, ReaderConfig{}).Image(0)
		if err != nil || m.W != size[0] || m.H != size[1] || s.Entry(0).W != m.W {
			t.Errorf("%s: %+v, %v", name, s.Entry(0), err)
		}
		path := filepath.Join(resolved(t, filepath.Join(root, filepath.Dir(name))), filepath.Base(name))
		if info, err := os.Stat(path); s.Path(0) != path || s.Roots() != nil || err != nil || !s.Has(info) {
			t.Errorf("%s: path %s, roots %q, %v", name, s.Path(0), s.Roots(), err)
		}
	}
	t.Chdir(filepath.Join(root, "sub"))
	if s := index(t, "a.png"); s.Key(0) != "a.png" || s.Path(0) != filepath.Join(root, "sub", "a.png") {
		t.Errorf("%s at %s", s.Key(0), s.Path(0))
	}
}

func TestPatterns(t *testing.T) {
	root := resolved(t, t.TempDir())
	for i, key := range []string{"cats/2.png", "cats/1.jpg", "dogs/3.PNG", "dogs/.4.png", ".old/5.png", "top.png", "top.gif"} {
		write(t, root, key, i)
	}
	raw(t, root, "dogs/notes.txt", []byte("x"))
	links(t, root, map[string]string{"gone.png": "nowhere"})
	for pattern, want := range map[string][]string{
		"*/*.{jpg,png}":           {"cats/1.jpg [cats]", "cats/2.png [cats]"},
		"cats/*":                  {"1.jpg []", "2.png []"},
		"{dogs,cats}/[123].*":     {"cats/1.jpg [cats]", "cats/2.png [cats]", "dogs/3.PNG [dogs]"},
		"*/.[0-9].png":            {"dogs/.4.png [dogs]"},
		".o*/*.png":               {".old/5.png [.old]"},
		"./dogs/../cats/?.jpg":    {"1.jpg []"},
		"t?p.png":                 {"top.png []"},
		"{*.png,t*.png}":          {"gone.png []", "top.png []"},
		"cats/{1.jpg,2.png,9.png": nil,
		"cats/{1.jpg,9.png}":      {"1.jpg []", "9.png []"}, // a bad one, as in a list
	} {
		for _, name := range []string{filepath.Join(root, "x")[:len(root)+1] + pattern, pattern} {
			t.Chdir(root)
			s, err := Index(name)
			if want == nil {
				refused(t, err, "does not exist")
				continue
			}
			if err != nil || !slices.Equal(lines(s), want) {
				t.Errorf("%s: %v, %q, want %q", name, err, lines(s), want)
			}
		}
	}
	s := index(t, "*/*.{jpg,png}")
	if _, err := NewReader(s, ReaderConfig{}).Image(1); err != nil || s.Path(1) != filepath.Join(root, "cats/2.png") {
		t.Errorf("%s: %v", s.Path(1), err)
	}
	tars := packedShards(t)
	if got := lines(index(t, filepath.Join(tars, "s-*.tar"))); !slices.Equal(got, packedLines) {
		t.Errorf("a pattern of tar files: %q", got)
	}
}

func TestPatternsRefuse(t *testing.T) {
	root, _ := folder(t, 3)
	raw(t, root, "kind0/notes.txt", []byte("x"))
	raw(t, root, "x.tar", nil)
	for pattern, want := range map[string]string{
		"kind0/*":         "kind0/notes.txt, which is neither an image nor a tar file: use a narrower pattern, such as '*.jpg'",
		"k*":              "it also matches the folder " + filepath.Join(root, "kind0") + ": ",
		"**/*.jpg":        "** is not supported; folders are searched recursively",
		"*.jpg":           "no file matches ",
		"k[":              "syntax error in pattern",
		"{x.tar,a.png}":   "matches images and other files",
		"nowhere/{1}.png": "nowhere: no such file",
		"{1..2}.png":      "none of the listed files exists",
	} {
		_, err := Index(filepath.Join(root, pattern))
		refused(t, err, want)
	}
}

func TestSeveralSources(t *testing.T) {
	root, tars := resolved(t, t.TempDir()), packedShards(t)
	for i, key := range []string{"a/k/2.png", "a/1.jpg", "b/3.png", "b/1.jpg", "c.png"} {
		write(t, root, key, i)
	}
	raw(t, root, "a/notes.txt", nil)
	raw(t, root, "list", []byte("b/3.png\tdog\nc.png\n"))
	below := func(names ...string) (all []string) {
		for _, n := range names {
			all = append(all, filepath.Join(root, n))
		}
		return all
	}
	names := append(below("list", "a", "c.png", "c.png"), filepath.Join(tars, "s-00.tar"))
	want := append([]string{"1.jpg []", "b/3.png [dog]", "c.png []", "k/2.png [k]"}, packedLines[:2]...)
	for range 2 {
		s, err := OpenAll(t.Context(), names, Options{Index: NoIndex, Dimensions: true})
		if err != nil || !slices.Equal(lines(s), want) {
			t.Fatalf("%v, %q, want %q", err, lines(s), want)
		}
		if s.Others()[".txt"] != 1 || s.Sharded() || s.Roots() != nil {
			t.Errorf("others %v, sharded %v, roots %q", s.Others(), s.Sharded(), s.Roots())
		}
		r := NewReader(s, ReaderConfig{})
		for i := range s.Len() {
			if m, err := r.Image(i); err != nil || s.Entry(i).W != m.W {
				t.Errorf("%s at %s: %v", s.Key(i), s.Path(i), err)
			}
		}
		for _, name := range append(below("list", "b/3.png", "c.png"), filepath.Join(tars, "s-00.tar")) {
			if info, err := os.Stat(name); err != nil || !s.Has(info) {
				t.Errorf("%s is not in it: %v", name, err)
			}
		}
		if train, held := s.Split(0.5); train.Len()+held.Len() != s.Len() || train.Path(0) == "" {
			t.Error("a part of it is lost")
		}
		if !strings.Contains(s.Source(), " and 2 more") {
			t.Errorf("called %s", s.Source())
		}
		slices.Reverse(names)
	}
	folders, err := OpenAll(t.Context(), below("a", "c.png"), Options{})
	if err != nil || folders.Len() != 3 {
		t.Error(err)
	}
	if s, err := OpenAll(t.Context(), []string{filepath.Join(root, "a"), tars}, Options{}); err != nil || fmt.Sprint(s.Roots()) != fmt.Sprint([]string{filepath.Join(root, "a"), resolved(t, tars)}) {
		t.Errorf("%v, roots %q", err, s.Roots())
	}
	_, err = OpenAll(t.Context(), below("a", "b"), Options{})
	refused(t, err, "/a/1.jpg and "+root+"/b/1.jpg would both be called 1.jpg: give the folder that contains both")
	_, err = OpenAll(t.Context(), below("a", "none", "nor"), Options{})
	refused(t, err, "none does not exist")
	_, err = OpenAll(t.Context(), below("a", "c.png"), Options{Index: "x"})
	refused(t, err, "one index file cannot cover several sources")
}
