package indexing

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// origin is where additions come from.
type origin struct {
	n     int                       // additions
	ids   iter.Seq[string]          // of all
	paths iter.Seq2[string, string] // their ids and sources; nil where sources tell nothing
	root  string                    // what ids in a metadata file may be below, "" for nothing
	roots []string                  // what the sources of its items are below
	tars  bool                      // they are in shards

	add  func(ctx context.Context, to target, p *plan, done func()) error
	info *vectors.Info // of a file of vectors
}

// find looks at what is to be added.
func (a *adding) find(ctx context.Context) (*origin, error) {
	if a.ofVectors() {
		return findVectors(a.data, a.prefix)
	}
	// No index is kept: an older one would not know of a file that was replaced.
	set, err := dataset.Open(ctx, a.data, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	root, err := filepath.Abs(a.data)
	if err != nil {
		return nil, err
	}
	if others := set.OthersLine(); others != "" {
		fmt.Fprintln(a.stderr, "skipped", others)
	}
	o := &origin{n: set.Len(), root: root, roots: set.Roots(), tars: shardOf(set.Path(0)) != ""}
	if o.roots == nil {
		o.root = filepath.Dir(root)
		if a.prune {
			return nil, usage.Errorf("--prune is for folders and shards: nothing tells which images came from the list %s", usage.Printable(a.data))
		}
	}
	o.ids = func(yield func(string) bool) {
		for i := range set.Len() {
			if !yield(a.prefix + set.Key(i)) {
				return
			}
		}
	}
	o.paths = func(yield func(id, source string) bool) {
		for i := range set.Len() {
			if !yield(a.prefix+set.Key(i), set.Path(i)) {
				return
			}
		}
	}
	o.add = func(ctx context.Context, to target, p *plan, done func()) error { return to.images(ctx, set, p, done) }
	return o, nil
}
