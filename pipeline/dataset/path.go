package dataset

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Path is where picture i lies: the absolute path of its file, with links to the
// set's own folder resolved and those within it as they are, or for a member of a
// shard that of the shard, a slash, and the member.
func (s *Set) Path(i int) string {
	key, from := s.Key(i), s.from(s.row(i))
	if from.kind != shards {
		return from.file(key)
	}
	name, member, _ := strings.Cut(key, "/")
	return from.shard[name].path + "/" + member
}

// Roots are the folders and files that Path gives paths below, whatever pictures are
// there at the time: the folder of a tree or of shards, else each shard. A list and
// named files have none, as they say nothing of what lies beside them, nor has a set
// that such are part of.
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

// Sharded says that all pictures are members of tar files.
func (s *Set) Sharded() bool {
	return !slices.ContainsFunc(s.sources, func(from *source) bool { return from.kind != shards })
}

// Has says whether info is of a file that the set is read from, under whatever name
// that was found: a picture, be it left out by Split, the list, or a shard. It asks
// the disk for the state of each of them until one is it.
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
