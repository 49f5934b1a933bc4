package dataset

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestFiles(t *testing.T) {
	root, set := folder(t, 4)
	root = resolved(t, root)
	b, a := filepath.Join(root, set.Key(1)), filepath.Join(root, set.Key(0))
	got, err := Files([]string{b, a, filepath.Join(root, "x", "..", set.Key(1)), "/none.png"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/none.png", a, b}; !slices.Equal(keys(got), slices.Sorted(slices.Values(want))) {
		t.Errorf("keys %q, want %q", keys(got), want)
	}
	r := NewReader(got, ReaderConfig{MaxBad: 1})
	for i, key := range keys(got) {
		if got.Path(i) != key || got.Label(i) != "" {
			t.Errorf("%s: path %s, label %q", key, got.Path(i), got.Label(i))
		}
		if _, err := r.Image(i); (err == nil) != (key != "/none.png") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := Files([]string{"a.png"}); err == nil {
		t.Error("a relative path is taken")
	}
	if none, err := Files(nil); err != nil || none.Len() != 0 {
		t.Errorf("of none: %v, %v", none, err)
	}
}
