package indexing

import (
	"path/filepath"
	"testing"

	"vicreg/server/index"
)

// Items go, all that were named or none; a namespace goes as a whole.
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
		"FILE is missing": {}, "ID is missing, or --namespace NAME --all": {file}, "an ID is empty": {file, ""},
		"--all goes with --namespace":                             {file, "--all"},
		"leave the IDs out":                                       {file, "00.png", "--namespace", "other", "--all"},
		"--api-key-file goes with --server":                       {file, "00.png", "--api-key-file", "x"},
		"there is nothing in namespace othr; did you mean other?": {file, "--namespace", "othr", "--all"},
		"namespace default of " + file + ": a, b, c, d, e and 1 more; nothing was removed": {file, "00.png", "f", "e", "d", "c", "b", "a", "a"},
		"not exist": {filepath.Join(dir, "none.index"), "a"},
	} {
		wrong(t, words, append([]string{"remove"}, args...)...)
	}
	if a, b := left(); a != 6 || b != 6 {
		t.Fatalf("%d and %d items are left", a, b)
	}
	want(t, said(t, "remove", file, "00.png", "01.png", "00.png"), "removed 2 items of namespace default from "+file)
	want(t, said(t, "remove", file, "--namespace", "other", "--", "-x/03.png"), "removed 1 items of namespace other")
	if a, b := left(); a != 4 || b != 5 {
		t.Errorf("%d and %d items are left", a, b)
	}
	want(t, said(t, "remove", file, "--namespace", "other", "--all"), "removed 5 items of namespace other")
	if a, b := left(); a != 4 || b != 0 {
		t.Errorf("%d and %d items are left", a, b)
	}
	said(t, "check", file)
	wrong(t, "there is nothing in namespace other", "remove", file, "--namespace", "other", "--all")
}
