package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/usage"
)

// OpenAll is Open for several sources: all their images form one Set in key order, with the keys
// that each source assigns by itself. An image that two sources have under one key appears once;
// two different images with one key are an error, as is a named index file for more than one
// source.
func OpenAll(ctx context.Context, names []string, opt Options) (*Set, error) {
	if len(names) == 1 {
		return Open(ctx, names[0], opt)
	}
	if opt.Index != "" && opt.Index != NoIndex {
		return nil, errors.New("find images: one index file cannot cover several sources")
	}
	sets, failed := make([]*Set, len(names)), make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(opt.workers())
	for i, name := range names {
		group.Go(func() error {
			sets[i], failed[i] = Open(ctx, name, opt)
			return nil
		})
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return union(sets)
}

// union joins complete sets.
func union(sets []*Set) (*Set, error) {
	type place struct{ set, row uint32 }
	var places []place
	all := &Set{others: others{count: map[string]int{}}}
	for i, s := range sets {
		all.sources = append(all.sources, s.sources...)
		for ending, n := range s.others.count {
			all.others.count[ending] += n
		}
		all.others.partial = all.others.partial || s.others.partial
		for row := range s.Len() {
			places = append(places, place{uint32(i), uint32(row)})
		}
	}
	key := func(p place) string { return sets[p.set].Key(int(p.row)) }
	slices.SortStableFunc(places, func(a, b place) int { return strings.Compare(key(a), key(b)) })
	var b builder
	for i, p := range places {
		s, row := sets[p.set], int(p.row)
		if i > 0 && key(places[i-1]) == key(p) {
			before := places[i-1]
			if first, second := sets[before.set].Path(int(before.row)), s.Path(row); first != second {
				return nil, fmt.Errorf("find images: %s and %s would both be called %s: give the folder that contains both, or a text file with one path per line",
					usage.Printable(first), usage.Printable(second), usage.Printable(key(p)))
			}
			continue
		}
		b.name(key(p))
		b.as(s.Label(row))
		b.files = append(b.files, s.table.files[row])
		offset := int64(0)
		if s.table.offsets != nil {
			offset = s.table.offsets[row]
		}
		b.offsets = append(b.offsets, offset)
		all.origin = append(all.origin, p.set)
	}
	var err error
	all.table, err = b.finish()
	return all, err
}

// namedSources is the number of sources that sourceNames lists.
const namedSources = 3

// sourceNames describes sources for people.
func sourceNames(sources []*source) string {
	var names []string
	for _, s := range sources[:min(len(sources), namedSources)] {
		names = append(names, s.name)
	}
	text := strings.Join(names, ", ")
	if more := len(sources) - namedSources; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
