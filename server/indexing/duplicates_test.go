package indexing

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// Equal files are grouped by their hashes and similar ones by their vectors, where one of the
// equal files stands for all.
func TestDuplicates(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "x.index")
	for name, data := range map[string][]byte{
		"a.png": filled(t, 200, 10, 10), "copy/a.png": filled(t, 200, 10, 10), "copy/b.png": filled(t, 200, 10, 10),
		"like-a.png": filled(t, 201, 11, 10), "also.png": filled(t, 199, 10, 12),
		"green.png": filled(t, 10, 200, 10), "green2.png": filled(t, 10, 200, 11), "blue.png": filled(t, 0, 0, 255), "grey.png": filled(t, 90, 90, 90),
	} {
		put(t, filepath.Join(dir, name), data)
	}
	said(t, "add", dir, "--index", file, "--model", colour(t, 1, 50, 50, 50))
	want(t, said(t, "duplicates", file, "--threshold", "0.999"), "1 group, 3 images in all, with equal bytes\n  a.png\n  copy/a.png\n  copy/b.png\n",
		"2 groups, 5 images in all, with a cosine of 0.999 or more\n  1.0000  ", "  a.png  and 2 identical to it\n")

	var d struct {
		Threshold   float64
		Images      int
		Equal, Near [][]copied
	}
	if err := json.Unmarshal([]byte(said(t, "duplicates", file, "--threshold", "0.999", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Images != 9 || d.Threshold != 0.999 || len(d.Equal) != 1 || len(d.Equal[0]) != 3 || len(d.Near) != 2 || len(d.Near[0]) != 3 || len(d.Near[1]) != 2 {
		t.Fatalf("got %+v", d)
	}
	for i, id := range []string{"a.png", "copy/a.png", "copy/b.png"} {
		if d.Equal[0][i].ID != id {
			t.Errorf("equal: %+v", d.Equal[0])
		}
	}
	for _, c := range d.Near[0] {
		if c.Cosine < 0.999 || c.Cosine > 1.0001 || c.Source == "" || (c.Equals == 2) != (c.ID == "a.png") {
			t.Errorf("near: %+v", c)
		}
	}
	want(t, said(t, "duplicates", file, "--threshold", "1"), "0 groups, 0 images in all, with a cosine of 1 or more\n")
	for threshold, words := range map[string]string{"0": "want more than 0", "1.5": "at most 1", "NaN": "want more than 0"} {
		wrong(t, words, "duplicates", file, "--threshold", threshold)
	}
}

// The id comes first, as other commands take it, and the path only where it says more.
func TestNamesOfCopies(t *testing.T) {
	for want, c := range map[string]copied{
		"a":                     {ID: "a"},
		"b/a.png":               {ID: "b/a.png", Source: "/photos/b/a.png"},
		"/b/a.png":              {ID: "/b/a.png", Source: "/b/a.png"},
		"a.png  from /b/ba.png": {ID: "a.png", Source: "/b/ba.png"},
		"7  from /b/a.png":      {ID: "7", Source: "/b/a.png"},
	} {
		if got := c.name(); got != want {
			t.Errorf("%+v is shown as %q, want %q", c, got, want)
		}
	}
}
