package dataset

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Path is where picture i lies: the absolute path of its file, with links to the
// set's own folder resolved and those within it as they are, or for a member of a
// shard that of the shard, a slash, and the member.
func (s *Set) Path(i int) string {
	key := s.Key(i)
	if s.source.kind != shards {
		return s.source.file(key)
	}
	name, member, _ := strings.Cut(key, "/")
	return s.source.shard[name].path + "/" + member
}

// Roots are the folders and files that Path gives paths below, whatever pictures are
// there at the time: the folder of a tree or of shards, else each shard. A list has
// none: its files lie anywhere.
func (s *Set) Roots() []string {
	switch s.source.kind {
	case tree:
		return []string{s.source.root}
	case list:
		return nil
	}
	if folder, err := filepath.EvalSymlinks(s.source.path); err == nil && s.source.shard[filepath.Base(folder)].path != folder {
		return []string{folder}
	}
	var roots []string
	for _, name := range s.source.files {
		roots = append(roots, s.source.shard[name].path)
	}
	return roots
}

// Has says whether info is of a file that the set is read from, under whatever name
// that was found: a picture, be it left out by Split, the list, or a shard. It asks
// the disk for the state of each of them until one is it.
func (s *Set) Has(info fs.FileInfo) bool {
	is := func(path string) bool {
		other, err := os.Stat(path)
		return err == nil && os.SameFile(info, other)
	}
	if s.source.kind == shards {
		for _, f := range s.source.shard {
			if is(f.path) {
				return true
			}
		}
		return false
	}
	if s.source.kind == list && is(s.source.path) {
		return true
	}
	for row := range s.table.len() {
		if is(s.source.file(s.table.key(row))) {
			return true
		}
	}
	return false
}
