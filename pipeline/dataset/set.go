// Package dataset finds pictures and turns them into batches: index a folder
// tree, a list of paths or tar shards, shuffle, decode with a cache, replace what
// cannot be read, and assemble two augmented views of each picture in the tensors
// a training step is fed.
//
// Everything random follows from a seed, and nothing depends on the number of
// workers or on timing: the same arguments give the same batches, from any
// position of a run.
package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"
)

// Set is an indexed source of pictures, or several, or a part of them, in ascending order of
// the pictures' keys. It is not changed after it was made, so that any number of
// goroutines may read it.
//
// A picture's key is what draws and splits hash: in a tree its path below the
// root, with slashes; in a list its path as listed; in tar shards SHARD/MEMBER; of a
// file that was named its name, of files that a pattern stands for their paths below
// its folder, which is what comes before the first wildcard.
type Set struct {
	sources []*source
	origin  []uint32 // index in sources by row of the table; nil for a single one
	table   *table
	pick    []uint32 // rows of the table, nil for all of them
	others  map[string]int
}

// from is the source of a row of the table.
func (s *Set) from(row int) *source {
	if s.origin == nil {
		return s.sources[0]
	}
	return s.sources[s.origin[row]]
}

// Entry is what an index knows of a picture without having read its pixels: the
// state of its file when that was indexed.
type Entry struct {
	Size     int64     // bytes
	Modified time.Time // of a member of a shard: the shard's
	// W and H are the size of the picture as people see it, in pixels; 0 when it was
	// not asked for (Options.Dimensions) and of a file that is no picture.
	W, H int
}

func (s *Set) row(i int) int {
	if s.pick == nil {
		return i
	}
	return int(s.pick[i])
}

// Len is the number of pictures.
func (s *Set) Len() int {
	if s.pick == nil {
		return s.table.len()
	}
	return len(s.pick)
}

// Key is the key of picture i.
func (s *Set) Key(i int) string { return s.table.key(s.row(i)) }

// Label is what kind of picture i is said to be, "" when nothing says so: in a
// tree, and of files that a pattern stands for, the first folder of the key; in a list what follows the path; in a shard
// the member's .cls file, else its .json file's "label" or "cls", else the first folder
// of the member's path.
func (s *Set) Label(i int) string {
	row := s.row(i)
	if s.table.label != nil {
		return s.table.labels[s.table.label[row]]
	}
	label, _, nested := strings.Cut(s.table.key(row), "/")
	if !nested {
		return ""
	}
	return label
}

// Entry is what the index knows of picture i.
func (s *Set) Entry(i int) Entry {
	f := s.table.files[s.row(i)]
	e := Entry{Size: f.size, Modified: time.Unix(0, f.modified)}
	if f.known() && f.w > 0 {
		e.W, e.H = int(f.w), int(f.h)
	}
	return e
}

// Source is the folder, list, shards or files of the set, as they were named, the
// first of many.
func (s *Set) Source() string { return sourceNames(s.sources) }

// Split sets aside about the given share of the pictures. Which ones follows from
// a hash of each key, so that a picture stays on its side when others are added
// or removed. Either part may be empty.
func (s *Set) Split(holdout float64) (train, held *Set) {
	train = &Set{sources: s.sources, origin: s.origin, table: s.table, pick: []uint32{}}
	held = &Set{sources: s.sources, origin: s.origin, table: s.table, pick: []uint32{}}
	for i := range s.Len() {
		row := s.row(i)
		part := train
		if place(s.table.key(row)) < holdout {
			part = held
		}
		part.pick = append(part.pick, uint32(row))
	}
	return train, held
}

// ShareOf is the share with which Split sets n pictures aside, all if there are no more:
// what a share of few pictures comes to is a matter of luck.
func (s *Set) ShareOf(n int) float64 {
	if n = min(n, s.Len()); n < 1 {
		return 0
	}
	places := make([]float64, s.Len())
	for i := range places {
		places[i] = place(s.Key(i))
	}
	slices.Sort(places)
	return places[n-1] + 1./(1<<53)
}

// place is where a key lies, by its hash, from 0 to below 1.
func place(key string) float64 { return float64(hash(key)>>11) / (1 << 53) }

// Fingerprint tells two sets apart by their keys: a resumed run wants the set it
// began with.
func (s *Set) Fingerprint() string {
	h := sha256.New()
	for i := range s.Len() {
		io.WriteString(h, s.Key(i))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// hash is FNV-1a followed by mix, for its upper bits.
func hash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
