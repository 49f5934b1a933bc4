package dataset

import (
	"errors"
	"path"
	"path/filepath"
)

// Files returns the set of the files with these absolute paths, without duplicates. The paths are
// the keys. No file is accessed: a missing one is bad when it is read.
func Files(paths []string) (*Set, error) {
	var b builder
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return nil, errors.New("path " + p + " is not absolute")
		}
		b.name(path.Clean(filepath.ToSlash(p)))
		b.as("")
	}
	t, err := b.finish()
	if err == nil {
		t, err = t.sorted(func(int, int) error { return nil })
	}
	if err != nil {
		return nil, err
	}
	return &Set{sources: []*source{{name: "a list of files", kind: list, root: string(filepath.Separator)}}, table: t}, nil
}
