package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/usage"
)

// shard is a tar file of a source in the state in which it was indexed.
type shard struct {
	part
	path string
}

func shardSource(name string, files []string, err error) (*source, error) {
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, kind: shards, path: path, shard: map[string]shard{}}
	for _, f := range files {
		full, err := filepath.Abs(f)
		if err != nil {
			return nil, err
		}
		base := filepath.Base(full)
		if _, twice := s.shard[base]; twice {
			return nil, fmt.Errorf("two shards in %s are named %s", name, usage.Printable(base))
		}
		s.shard[base] = shard{path: full}
		s.files = append(s.files, base)
	}
	// In the order in which the keys of their members sort.
	slices.SortFunc(s.files, func(a, b string) int { return strings.Compare(a+"/", b+"/") })
	return s, nil
}

// maxShards limits the number of files that a pattern expands to.
const maxShards = 1 << 20

// expand returns the files that a pattern with {000..012} or {a,b} expands to; nil without an error
// if it has no braces.
func expand(pattern string) ([]string, error) {
	before, rest, open := strings.Cut(pattern, "{")
	inner, after, closed := strings.Cut(rest, "}")
	if !open || !closed {
		return nil, nil
	}
	choices, err := choices(inner)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	tails, err := expand(after)
	if err != nil {
		return nil, err
	}
	if tails == nil {
		tails = []string{after}
	}
	if len(choices) > maxShards/len(tails) {
		return nil, fmt.Errorf("pattern %s matches more than %d files", pattern, maxShards)
	}
	var files []string
	for _, c := range choices {
		for _, t := range tails {
			files = append(files, before+c+t)
		}
	}
	return files, nil
}

// choices returns the alternatives inside a pair of braces.
func choices(inner string) ([]string, error) {
	first, last, isRange := strings.Cut(inner, "..")
	if !isRange {
		return strings.Split(inner, ","), nil
	}
	lo, err := strconv.ParseUint(first, 10, 31)
	hi, err2 := strconv.ParseUint(last, 10, 31)
	if err != nil || err2 != nil || hi < lo || hi-lo >= maxShards {
		return nil, fmt.Errorf("{%s} is not a range such as {000..146}", inner)
	}
	var texts []string
	for n := lo; n <= hi; n++ {
		texts = append(texts, fmt.Sprintf("%0*d", len(first), n))
	}
	return texts, nil
}

// refreshShards is the counterpart of refreshTree for tar files: only changed ones are read again.
func refreshShards(x *indexing, old *listing) (now *listing, changed bool, err error) {
	before := map[string]part{}
	for _, p := range old.parts {
		before[p.name] = p
	}
	now = &listing{}
	read := make([]*table, len(x.source.files)) // nil for a shard that has not changed
	group, ctx := errgroup.WithContext(x.ctx)
	group.SetLimit(x.workers)
	for i, name := range x.source.files {
		s := x.source.shard[name]
		info, err := os.Stat(s.path)
		if err != nil {
			group.Wait()
			return nil, false, err
		}
		p := stateOf(name, info, time.Now())
		now.parts = append(now.parts, p)
		s.part, s.modified = p, info.ModTime().UnixNano()
		x.source.shard[name] = s
		if known, ok := before[name]; ok && known.holds(p) {
			continue
		}
		changed = true
		group.Go(func() (err error) {
			if ctx.Err() == nil {
				read[i], err = s.index()
			}
			return err
		})
	}
	if err := errors.Join(group.Wait(), x.ctx.Err()); err != nil {
		return nil, false, err
	}
	if !changed && len(old.parts) == len(now.parts) {
		return old, false, nil
	}
	now.table, err = joined(x.source.files, read, old.table)
	return now, true, err
}

// joined concatenates the tables of shards; the rows of a shard that was not read are taken from
// old.
func joined(names []string, read []*table, old *table) (*table, error) {
	var b builder
	rows, bytes := old.len(), len(old.keys)
	for _, t := range read {
		if t != nil {
			rows, bytes = rows+t.len(), bytes+len(t.keys)
		}
	}
	b.grow(rows, bytes)
	for i, name := range names {
		t, begin, end := read[i], 0, 0
		if t != nil {
			end = t.len()
		} else {
			t = old
			begin, _ = old.find(name + "/")
			end, _ = old.find(name + string(rune('/'+1)))
		}
		for row := begin; row < end; row++ {
			b.copy(t, row)
		}
	}
	return b.finish()
}

// index lists the images of the shard.
func (s shard) index() (*table, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 8)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if err := notPacked(s.path, head); err != nil {
		return nil, err
	}
	var b builder
	if err := readShard(f, s.size, s.name, &b); err != nil {
		return nil, fmt.Errorf("shard %s: %w", usage.Printable(s.path), err)
	}
	for i := range b.files {
		b.files[i].modified = s.modified
	}
	t, err := b.finish()
	if err != nil {
		return nil, err
	}
	return t.sorted(func(int, int) error { return nil }) // as if unpacked: the last member of a name wins
}
