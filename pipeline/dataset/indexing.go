package dataset

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// indexing is an index in the making.
type indexing struct {
	ctx        context.Context
	source     *source
	dimensions bool
	workers    int
}

// run brings an older index, which may be of nothing, up to date.
func (x *indexing) run(old *listing) (now *listing, changed bool, err error) {
	switch x.source.kind {
	case list:
		return refreshList(x, old)
	case shards:
		return refreshShards(x, old)
	}
	return refreshTree(x, old)
}

// chunk is how many rows a worker takes at a time: neighbours, which lie in one
// folder or shard.
const chunk = 256

// each calls do for every row of t, from several goroutines.
func (x *indexing) each(t *table, do func(row int) error) error {
	group, ctx := errgroup.WithContext(x.ctx)
	var next atomic.Int64
	for range x.workers {
		group.Go(func() error {
			for begin := 0; begin < t.len(); {
				begin = int(next.Add(chunk)) - chunk
				for row := begin; row < min(begin+chunk, t.len()); row++ {
					if err := do(row); err != nil {
						return err
					}
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// visit sets size, time and perhaps dimensions of files of which only the names
// are known; old dimensions serve for a file that has not changed.
func (x *indexing) visit(t, old *table) error {
	return x.each(t, func(row int) error {
		before, known := old.find(t.key(row))
		info, err := os.Stat(x.source.file(t.key(row)))
		if exhausted(err) {
			return err
		}
		if err != nil { // it is quarantined when it is read, where people see it
			return nil
		}
		f := &t.files[row]
		f.size, f.modified = info.Size(), info.ModTime().UnixNano()
		if known && old.files[before].size == f.size && old.files[before].modified == f.modified {
			*f = old.files[before]
		}
		return nil
	})
}

// file is the path of a picture of a tree or a list.
func (s *source) file(key string) string {
	if s.kind == list && filepath.IsAbs(key) {
		return filepath.FromSlash(key)
	}
	return s.root + string(filepath.Separator) + filepath.FromSlash(key)
}

// exhausted says that an error is the machine's and no fault of the file.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}
