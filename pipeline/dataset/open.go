package dataset

import (
	"context"
	"fmt"
	"runtime"
)

// Options configure how a source is indexed; the zero value is usable.
type Options struct {
	// Index is the file that keeps the index from one start to the next. "" means a file in the
	// user's cache folder, and only for sources of at least SaveFrom images, as smaller ones are
	// listed just as fast, and not for named files; a failure to write it is ignored. NoIndex
	// means no file. A file that is named here is written whatever the size of the source, and
	// failing to do so is an error.
	Index string
	// Dimensions requests the size of every image (Entry), which requires opening each file that
	// the index does not know yet.
	Dimensions bool
	Workers    int // goroutines that examine files; 0 means one per processor
}

func (o Options) workers() int {
	if o.Workers < 1 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Workers
}

// Open indexes a source, which is one of
//
//   - a folder: its images at any depth, recognised by extension (.jpg, .jpeg, .png, .webp, .gif,
//     .tif, .tiff, in upper or lower case). Hidden files and folders are skipped. Links to files
//     and folders are followed: a target that two of them share appears twice, and a link that
//     forms a cycle is an error. A dangling link counts as an image, which is bad when it is
//     read, if it has an image's extension or, like most folders, none;
//   - a text file with a path on each line, absolute or relative to the folder of the list,
//     optionally followed by a tab and a label. Empty lines and lines that begin with # are
//     skipped. A path that is listed twice counts once; with two different labels it is an error;
//   - tar files as WebDataset lays them out: one .tar file, a folder with *.tar files at its top
//     and no image in it, or a pattern such as train-{000..146}.tar. Members with an image's
//     extension are images. Compressed tar files are an error;
//   - an image file, recognised by its name or contents, or a pattern of image files such as
//     photos/*/*.{jpg,png}. The wildcards, for tar files, too, are those of path.Match, and match
//     hidden files and folders only if the pattern spells out the dot. The name of an existing
//     file is never a pattern.
//
// A second start loads the index of the first and checks only the modification times of the folders
// (linked ones, too) or those of the shards or the list. A truncated or damaged index file is
// rebuilt. A file that was overwritten in place keeps its entry until its folder changes; its new
// contents are used all the same (see Reader). Nothing is written into the source. A source without
// an image is an error; so is the end of ctx.
func Open(ctx context.Context, name string, opt Options) (*Set, error) {
	src, err := find(name)
	if err != nil {
		return nil, fmt.Errorf("find images: %w", err)
	}
	x := &indexing{ctx: ctx, source: src, dimensions: opt.Dimensions, workers: opt.workers()}
	path, asked := opt.place(src)
	old := &listing{table: &table{}}
	if path != "" {
		old = loadIndex(path, src)
	}
	at, changed, err := x.run(old)
	if err != nil {
		return nil, fmt.Errorf("find images in %s: %w", name, err)
	}
	if at.table.len() == 0 {
		return nil, &NoImage{Source: name, others: x.others}
	}
	if path != "" && changed && (asked || at.table.len() >= SaveFrom) {
		if err := saveIndex(path, src, at); err != nil && asked {
			return nil, err
		}
	}
	return &Set{sources: []*source{src}, table: at.table, others: x.others}, nil
}

// Index is Open with the default options.
func Index(name string) (*Set, error) { return Open(context.Background(), name, Options{}) }

// listing is the indexed contents of a source.
type listing struct {
	parts []part
	table *table
}
