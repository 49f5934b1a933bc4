package dataset

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/imaging"
)

// indexing is the construction of an index.
type indexing struct {
	ctx        context.Context
	source     *source
	dimensions bool
	workers    int
	others     others // see Set.Others
}

// run brings an older index, which may be empty, up to date.
func (x *indexing) run(old *listing) (now *listing, changed bool, err error) {
	switch x.source.kind {
	case list:
		now, changed, err = refreshList(x, old)
	case shards:
		now, changed, err = refreshShards(x, old)
	case named:
		now, changed, err = refreshNamed(x)
	default:
		now, changed, err = refreshTree(x, old)
	}
	if err == nil && x.dimensions {
		var measured bool
		measured, err = x.measure(now.table)
		changed = changed || measured
	}
	if err == nil && (x.source.kind == list || x.source.kind == named) {
		err = x.anyThere(now.table)
	}
	return now, changed, err
}

// chunk is the number of consecutive rows a worker claims at a time: neighbours lie in the same
// folder or shard.
const chunk = 256

// each calls do for every row of t from several goroutines, each with its own look.
func (x *indexing) each(t *table, do func(l *look, row int) error) error {
	group, ctx := errgroup.WithContext(x.ctx)
	var next atomic.Int64
	for range x.workers {
		group.Go(func() error {
			l := &look{source: x.source}
			defer l.close()
			for {
				begin := int(next.Add(chunk)) - chunk
				for row := begin; row < min(begin+chunk, t.len()); row++ {
					if err := do(l, row); err != nil {
						return err
					}
				}
				if ctx.Err() != nil || begin >= t.len() {
					return ctx.Err()
				}
			}
		})
	}
	return group.Wait()
}

// visit sets the size and time of files of which only the names are known. The dimensions of
// unchanged files are copied from the old table. Files that will be measured anyway are left to
// measure.
func (x *indexing) visit(t, old *table) error {
	return x.each(t, func(l *look, row int) error {
		before, known := old.find(t.key(row))
		if x.dimensions && !known {
			return nil
		}
		info, err := os.Stat(x.source.file(t.key(row)))
		if err != nil { // it is quarantined when read, where people see it
			return fatal(err)
		}
		f := &t.files[row]
		f.size, f.modified = info.Size(), info.ModTime().UnixNano()
		if known && old.files[before].size == f.size && old.files[before].modified == f.modified {
			*f = old.files[before]
		}
		return nil
	})
}

// measure finds the dimensions that are not known yet; measured reports whether any were missing.
func (x *indexing) measure(t *table) (measured bool, err error) {
	for i := range t.files {
		measured = measured || !t.files[i].known()
	}
	if !measured {
		return false, nil
	}
	return true, x.each(t, func(l *look, row int) error {
		f := &t.files[row]
		if f.known() {
			return nil
		}
		if x.source.kind == shards {
			return l.member(f, t.key(row), t.offsets[row])
		}
		return l.file(f, x.source.file(t.key(row)))
	})
}

// look examines one file after another.
type look struct {
	source *source
	prober imaging.Prober
	shard  *os.File // the shard opened last
	name   string
}

// file sets every field of f.
func (l *look) file(f *file, path string) error {
	*f = file{h: 1}
	r, err := os.Open(path)
	if err != nil {
		return fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return fatal(err)
	}
	f.size, f.modified = info.Size(), info.ModTime().UnixNano()
	if info.Mode().IsRegular() {
		l.probe(f, r)
	}
	return nil
}

// member sets the dimensions of a member of a shard.
func (l *look) member(f *file, key string, offset int64) (err error) {
	f.w, f.h = 0, 1
	if name, _, _ := strings.Cut(key, "/"); name != l.name {
		l.close()
		if l.shard, err = os.Open(l.source.shard[name].path); err != nil {
			return err
		}
		l.name = name
	}
	l.probe(f, io.NewSectionReader(l.shard, offset, f.size))
	return nil
}

func (l *look) probe(f *file, r io.ReaderAt) {
	if info, err := l.prober.Probe(r, f.size); err == nil {
		f.w, f.h = uint32(info.W), uint32(info.H)
	}
}

func (l *look) close() {
	if l.shard != nil {
		l.shard.Close()
	}
	l.shard, l.name = nil, ""
}

// file returns the path of an image that is a file of its own.
func (s *source) file(key string) string {
	if s.kind == list && filepath.IsAbs(key) {
		return filepath.FromSlash(key)
	}
	return s.root + string(filepath.Separator) + filepath.FromSlash(key)
}

// fatal returns err if the machine is to blame, and nil if the file is.
func fatal(err error) error {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) {
		return err
	}
	return nil
}
