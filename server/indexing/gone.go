package indexing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// leftOver examines the items whose ids no addition has. gone are those whose sources are below
// the roots and no longer exist; elsewhere are those whose sources are among the additions, so
// that their images are indexed twice. Both are sorted ids.
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

// lacks reports whether a source that is not among the additions is below the roots and no longer
// exists. If that cannot be determined, as with an unreadable folder, it counts as existing.
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

// there reports whether the file of a source is on this disk; for a member of a shard, whether
// the shard is.
func there(source string) bool {
	_, err := os.Lstat(source)
	return err == nil || shardOf(source) != ""
}

// reads reports whether all members of a shard are among the additions.
func (o *origin) reads(shard string) bool {
	for _, root := range o.roots {
		if shard == root || filepath.Dir(shard) == root && strings.EqualFold(filepath.Ext(shard), ".tar") {
			return true
		}
	}
	return false
}

// below reports whether a path is below one of the roots.
func below(path string, roots []string) bool {
	for _, root := range roots {
		if strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
			return true
		}
	}
	return false
}
