package indexing

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
)

// sets returns the images that items came from: one set of all separate files, and one for each
// tar file with some. Sources that cannot be among them are given up.
func (r *rebuilding) sets(ctx context.Context) ([]*dataset.Set, error) {
	var files []string
	shards := map[string]bool{}
	for source := range r.todo {
		shard := shardOf(source)
		switch {
		case shard != "":
			shards[shard] = true
		case !readable(source):
			r.drop(source, usage.Printable(source)+" is not a file")
		default:
			files = append(files, source)
		}
	}
	loose, err := dataset.Files(files)
	if err != nil {
		return nil, err
	}
	sets := []*dataset.Set{loose}
	members := map[string]bool{}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		set, err := dataset.Open(ctx, shard, dataset.Options{Index: dataset.NoIndex})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || set.Roots() == nil { // a list, which would name files of no item
			continue
		}
		for i := range set.Len() {
			members[set.Path(i)] = true
		}
		sets = append(sets, set)
	}
	for source := range r.todo {
		if shard := shardOf(source); shard != "" && !members[source] {
			r.drop(source, "it is no longer in "+usage.Printable(shard))
		}
	}
	return sets, nil
}

// readable reports false for what exists and is no regular file: an item's source may be a pipe,
// which has no end, or a device. A missing file is reported as readable: reading it yields the
// reason.
func readable(source string) bool {
	info, err := os.Stat(source)
	return err != nil || info.Mode().IsRegular()
}

// shardOf returns the file that a path passes through as if it were a folder, "" for none.
func shardOf(path string) string {
	if _, err := os.Lstat(path); !errors.Is(err, syscall.ENOTDIR) {
		return ""
	}
	for {
		path = filepath.Dir(path)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		} else if path == filepath.Dir(path) {
			return ""
		}
	}
}
