package dataset

import (
	"context"
	"fmt"
	"runtime"
)

// Options say how a source is indexed; the zero value is usable.
type Options struct {
	// Index is the file that keeps the index from one start to the next. "" means a
	// file in the user's cache folder, and only for sources of SaveFrom pictures or
	// more, since fewer are listed as fast, and not for files that were named; a cache folder that cannot be written is
	// done without. NoIndex means none. A file that is named here is written
	// whatever the size, and it is an error when that fails.
	Index string
	// Dimensions asks for the size of every picture (Entry), which takes a look into
	// each file that the index does not know yet.
	Dimensions bool
	Workers    int // goroutines that look at files; 0 means one a processor
}

func (o Options) workers() int {
	if o.Workers < 1 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Workers
}

// Open indexes a source, which is one of
//
//   - a folder: its pictures at any depth, by the extension of their names (.jpg,
//     .jpeg, .png, .webp, .gif, .tif, .tiff in upper or lower case). Hidden files
//     and folders are passed over. Links to files and folders are followed: what
//     two of them lead to is there twice, and one that leads in a circle is an
//     error. One that leads to nothing is a picture, which is bad when it is read,
//     if its name is that of one or has no extension, as those of folders;
//   - a text file with a path on each line, absolute or relative to the folder of
//     the list, perhaps followed by a tab and a label. Empty lines and lines that
//     begin with # are passed over. A path that is there twice counts once, and
//     with two labels is an error;
//   - tar files as WebDataset lays them out: one .tar file, a folder with *.tar
//     files at its top and no picture in it, or a pattern such as
//     train-{000..146}.tar. Members named as pictures are pictures. Compressed tar
//     files are an error;
//   - an image file, by its name or what is in it, or a pattern of image files such as
//     photos/*/*.{jpg,png}. The wildcards are those of path.Match, for tar files, too,
//     and match hidden files and folders where they are asked for. A name that a file
//     has is no pattern.
//
// A second start finds the index of the first and looks only at what tells that
// something changed: the modification times of the folders, linked ones too, or those
// of shards and list. A cut or damaged index file is made anew.
// A file that was overwritten in place keeps its entry until its folder changes;
// its new contents are used all the same (Reader says when). Nothing is written
// into the source. A source without a picture is an error; so is the end of ctx.
func Open(ctx context.Context, name string, opt Options) (*Set, error) {
	src, err := find(name)
	if err != nil {
		return nil, fmt.Errorf("index images: %w", err)
	}
	x := &indexing{ctx: ctx, source: src, dimensions: opt.Dimensions, workers: opt.workers()}
	path, asked := opt.place(src)
	old := &listing{table: &table{}}
	if path != "" {
		old = loadIndex(path, src)
	}
	at, changed, err := x.run(old)
	if err != nil {
		return nil, fmt.Errorf("index images in %s: %w", name, err)
	}
	if at.table.len() == 0 {
		return nil, fmt.Errorf("index images: no image in %s (.jpg, .jpeg, .png, .webp, .gif, .tif or .tiff)", name)
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

// listing is what is kept of a source.
type listing struct {
	parts []part
	table *table
}
