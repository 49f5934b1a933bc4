package dataset

import (
	"errors"
	"math"
	"slices"
	"strings"
)

// table holds what is known of all images of a source, one row each, in columns: a million images
// are a handful of objects to the garbage collector and some 70 MB. Rows are in ascending order of
// their keys, which are unique.
type table struct {
	keys  string   // concatenated
	ends  []uint32 // end of each key in keys
	files []file

	labels  []string // distinct; nil if labels follow from keys
	label   []uint32 // index in labels, by row
	offsets []int64  // start of a member's bytes in its shard; nil except for shards
}

// file is the state of a file, or a member of a shard, when it was indexed.
type file struct {
	size, modified int64 // bytes; nanoseconds since 1970
	// w and h are the image's displayed size; 0, 0 if it was not examined, and 0, 1 if it turned
	// out not to be an image.
	w, h uint32
}

// known reports whether the dimensions were looked for, whatever the result.
func (f *file) known() bool { return f.h > 0 }

func (t *table) len() int { return len(t.ends) }

func (t *table) key(row int) string {
	begin := uint32(0)
	if row > 0 {
		begin = t.ends[row-1]
	}
	return t.keys[begin:t.ends[row]]
}

// find returns the row of a key, or where it would be inserted.
func (t *table) find(key string) (row int, found bool) {
	lo, hi := 0, t.len()
	for lo < hi {
		if mid := (lo + hi) / 2; t.key(mid) < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < t.len() && t.key(lo) == key
}

// builder collects rows for a table.
type builder struct {
	table
	text   strings.Builder
	number map[string]uint32 // by label
	err    error
}

// grow reserves room for rows and for the total bytes of their keys: growing by doubling would hold
// twice the memory.
func (b *builder) grow(rows, bytes int) {
	b.text.Grow(bytes)
	b.ends = make([]uint32, 0, rows)
	b.files = make([]file, 0, rows)
}

// name appends a row whose key is the concatenation of pieces.
func (b *builder) name(pieces ...string) {
	for _, p := range pieces {
		b.text.WriteString(p)
	}
	if b.text.Len() > math.MaxUint32 && b.err == nil {
		b.err = errors.New("the paths take more than 4 GB: split the data set into smaller ones")
	}
	b.ends = append(b.ends, uint32(b.text.Len()))
}

// as sets the label of the last row. Either all rows get one or none.
func (b *builder) as(label string) {
	n, known := b.number[label]
	if !known {
		if b.number == nil {
			b.number = map[string]uint32{}
		}
		n = uint32(len(b.labels))
		b.number[label] = n
		b.labels = append(b.labels, label)
	}
	b.label = append(b.label, n)
}

// copy appends a row of another table.
func (b *builder) copy(t *table, row int) {
	b.name(t.key(row))
	b.files = append(b.files, t.files[row])
	if t.label != nil {
		b.as(t.labels[t.label[row]])
	}
	if t.offsets != nil {
		b.offsets = append(b.offsets, t.offsets[row])
	}
}

// finish returns the rows in the order they were added; nothing may be added afterwards.
func (b *builder) finish() (*table, error) {
	b.table.keys = b.text.String() // shares the builder's memory
	if b.err != nil {
		return nil, b.err
	}
	if len(b.files) == 0 {
		b.files = make([]file, len(b.ends))
	}
	return &b.table, nil
}

// sorted returns t in key order. Of rows with equal keys the last one stays, provided that
// conflict, which is called with two such rows, returns nil.
func (t *table) sorted(conflict func(first, second int) error) (*table, error) {
	ascending := true
	for row := 1; row < t.len() && ascending; row++ {
		ascending = t.key(row-1) < t.key(row)
	}
	if ascending {
		return t, nil
	}
	order := make([]uint32, t.len())
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int { return strings.Compare(t.key(int(a)), t.key(int(b))) })
	var b builder
	for i, row := range order {
		if i+1 < len(order) && t.key(int(order[i+1])) == t.key(int(row)) {
			if err := conflict(int(row), int(order[i+1])); err != nil {
				return nil, err
			}
			continue
		}
		b.copy(t, int(row))
	}
	return b.finish()
}

// merge merges the rows of old for which keep is true with those of fresh, whose keys differ.
func merge(old *table, keep func(row int) bool, fresh *table) (*table, error) {
	if old.len() == 0 {
		return fresh, nil
	}
	var b builder
	b.grow(old.len()+fresh.len(), len(old.keys)+len(fresh.keys))
	i, j := 0, 0
	for i < old.len() || j < fresh.len() {
		switch {
		case i < old.len() && !keep(i):
			i++
		case j == fresh.len() || i < old.len() && old.key(i) < fresh.key(j):
			b.copy(old, i)
			i++
		default:
			b.copy(fresh, j)
			j++
		}
	}
	return b.finish()
}
