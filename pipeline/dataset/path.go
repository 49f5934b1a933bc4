package dataset

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Path returns where image i lies: the absolute path of its file, with links resolved down to the
// set's own folder but not below it; for a member of a shard, the shard's path, a slash and the
// member's name.
func (s *Set) Path(i int) string {
	key, from := s.Key(i), s.from(s.row(i))
	if from.kind != shards {
		return from.file(key)
	}
	name, member, _ := strings.Cut(key, "/")
	return from.shard[name].path + "/" + member
}

// Roots returns the folders and files below which all paths of Path lie, whatever images they
// contain at the time: the folder of a tree or of shards, else each shard. It is nil if any source
// is a list or named files, which say nothing about neighbouring files.
func (s *Set) Roots() (roots []string) {
	for _, from := range s.sources {
		some := from.roots()
		if some == nil {
			return nil
		}
		roots = append(roots, some...)
	}
	return roots
}

func (s *source) roots() (roots []string) {
	switch s.kind {
	case tree:
		return []string{s.root}
	case list, named:
		return nil
	}
	if folder, err := filepath.EvalSymlinks(s.path); err == nil && s.shard[filepath.Base(folder)].path != folder {
		return []string{folder}
	}
	for _, name := range s.files {
		roots = append(roots, s.shard[name].path)
	}
	return roots
}

// Sharded reports whether all images are members of tar files.
func (s *Set) Sharded() bool {
	return !slices.ContainsFunc(s.sources, func(from *source) bool { return from.kind != shards })
}

// Has reports whether info is of a file that the set is read from, by whatever path it was found:
// an image (even one excluded by Split), the list, or a shard. It calls stat on each of them until
// one matches.
func (s *Set) Has(info fs.FileInfo) bool {
	is := func(path string) bool {
		other, err := os.Stat(path)
		return err == nil && os.SameFile(info, other)
	}
	for _, from := range s.sources {
		if from.kind == list && is(from.path) {
			return true
		}
		for _, f := range from.shard {
			if is(f.path) {
				return true
			}
		}
	}
	for row := range s.table.len() {
		if from := s.from(row); from.kind != shards && is(from.file(s.table.key(row))) {
			return true
		}
	}
	return false
}
