package indexing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// leftOver looks at the items that no addition has the id of. Those are gone whose
// sources are below the roots and not there any more; others' sources are among the
// additions, so that their images are there twice. Both are sorted ids.
func (p *plan) leftOver(from *origin) (gone, elsewhere []string) {
	if from.paths == nil {
		return nil, nil
	}
	left := map[string]string{} // sources by id
	for id, k := range p.known {
		if filepath.IsAbs(k.source) {
			left[id] = k.source
		}
	}
	for id := range from.paths {
		delete(left, id)
	}
	at := map[string][]string{} // and ids by source
	for id, source := range left {
		at[source] = append(at[source], id)
	}
	twice, lost := map[string]bool{}, map[string]bool{}
	for _, source := range from.paths {
		for _, id := range at[source] {
			twice[id] = true
			delete(left, id)
		}
	}
	for id, source := range left {
		if from.lacks(source) {
			lost[id] = true
		}
	}
	return sorted(lost), sorted(twice)
}

// lacks says that a source, which is not among the additions, is below the roots and
// not there any more. What cannot be told, as with a folder that may not be read, counts
// as there.
func (o *origin) lacks(source string) bool {
	if !below(source, o.roots) {
		return false
	}
	_, err := os.Lstat(source)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	shard := shardOf(source)
	return shard != "" && o.tars && o.reads(shard)
}

// there says that the file of a source is on this disk; of a member of a shard, that
// the shard is.
func there(source string) bool {
	_, err := os.Lstat(source)
	return err == nil || shardOf(source) != ""
}

// reads says that all members of a shard are among the additions.
func (o *origin) reads(shard string) bool {
	for _, root := range o.roots {
		if shard == root || filepath.Dir(shard) == root && strings.EqualFold(filepath.Ext(shard), ".tar") {
			return true
		}
	}
	return false
}

// below says that a path is below one of the roots.
func below(path string, roots []string) bool {
	for _, root := range roots {
		if strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
			return true
		}
	}
	return false
}
