package indexing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// origin is the source of additions.
type origin struct {
	name  string                    // for display
	n     int                       // number of additions
	ids   iter.Seq[string]          // of all additions
	paths iter.Seq2[string, string] // ids and sources; nil if sources tell nothing
	root  string                    // folder that ids in a metadata file may be below, "" for none
	roots []string                  // folders that the sources of its items are below
	tars  bool                      // whether the images are in shards

	add  func(ctx context.Context, to target, p *plan, done func()) error
	info *vectors.Info // of a file of vectors
}

// find inspects what is to be added.
func (a *adding) find(ctx context.Context) (*origin, error) {
	if a.ofVectors() {
		return findVectors(a.data[0], a.prefix)
	}
	// No index of the shards is kept: an old one would miss a file that was replaced.
	set, err := dataset.OpenAll(ctx, a.data, dataset.Options{Index: dataset.NoIndex})
	var none *dataset.NoImage
	if a.prune && errors.As(err, &none) {
		return nil, usage.Errorf("%w; --prune does not go by an empty source, which may only be unmounted: to remove its images, give their ids to vicreg index remove", err)
	}
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	if others := set.OthersLine(); others != "" {
		fmt.Fprintln(a.stderr, "skipped", others)
	}
	o := &origin{name: set.Source(), n: set.Len(), roots: set.Roots(), tars: set.Sharded()}
	if o.root, err = rootOf(a.data); err != nil {
		return nil, err
	}
	if o.roots == nil && a.prune {
		return nil, usage.Errorf("--prune is for folders and shards: the index does not record which images came from lists and single files, as in %s", usage.Printable(o.name))
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

// rootOf returns the folder that the ids of images are relative to, "" if the sources have
// different ones: a folder itself, and for a list or files the folder that they are in.
func rootOf(names []string) (root string, err error) {
	for i, name := range names {
		name, err = filepath.Abs(name)
		if err != nil {
			return "", err
		}
		switch info, err := os.Stat(name); {
		case err != nil:
			name = dataset.PatternFolder(name)
		case !info.IsDir():
			name = filepath.Dir(name)
		}
		if i > 0 && name != root {
			return "", nil
		}
		root = name
	}
	return root, nil
}
