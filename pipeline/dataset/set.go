// Package dataset finds images and turns them into batches: it indexes a folder tree, a list of
// paths or tar shards, shuffles, decodes with a cache, substitutes for unreadable files, and writes
// two augmented views of each image into the tensors that a training step is fed.
//
// All randomness derives from a seed, and nothing depends on the number of workers or on timing:
// the same arguments produce the same batches, from any position of a run.
package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"
)

// Set is an indexed source of images, or several, or a subset of them, in ascending order of the
// images' keys. It is immutable and thus safe for concurrent reads.
//
// An image's key is what random draws and splits hash: in a tree its path below the root, with
// slashes; in a list its path as listed; in tar shards SHARD/MEMBER; for a file that was named its
// name; for files matched by a pattern their paths below the pattern's folder, which precedes the
// first wildcard or brace.
type Set struct {
	sources []*source
	origin  []uint32 // index in sources by row of the table; nil for a single one
	table   *table
	pick    []uint32 // rows of the table; nil for all
	others  others
}

// from returns the source of a row of the table.
func (s *Set) from(row int) *source {
	if s.origin == nil {
		return s.sources[0]
	}
	return s.sources[s.origin[row]]
}

// Entry is what the index knows of an image without decoding its pixels: the state of its file at
// indexing.
type Entry struct {
	Size     int64     // bytes
	Modified time.Time // of a shard's member: the shard's
	// W and H are the image's displayed size in pixels; 0 if it was not requested
	// (Options.Dimensions) or the file is not an image.
	W, H int
}

func (s *Set) row(i int) int {
	if s.pick == nil {
		return i
	}
	return int(s.pick[i])
}

// Len returns the number of images.
func (s *Set) Len() int {
	if s.pick == nil {
		return s.table.len()
	}
	return len(s.pick)
}

// Key returns the key of image i.
func (s *Set) Key(i int) string { return s.table.key(s.row(i)) }

// Label returns the class label of image i, "" if it has none: in a tree, and for files matched by
// a pattern, the first folder of the key; in a list the text after the path; in a shard the
// member's .cls file, else its .json file's "label" or "cls", else the first folder of the member's
// path.
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

// Entry returns what the index knows of image i.
func (s *Set) Entry(i int) Entry {
	f := s.table.files[s.row(i)]
	e := Entry{Size: f.size, Modified: time.Unix(0, f.modified)}
	if f.known() && f.w > 0 {
		e.W, e.H = int(f.w), int(f.h)
	}
	return e
}

// Source describes where the set comes from: its folders, lists, shards or files as they were
// named, with only the first few of many.
func (s *Set) Source() string { return sourceNames(s.sources) }

// Split holds out about the given fraction of the images. The choice follows from a hash of each
// key, so an image stays on its side when others are added or removed. Either part may be empty.
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

// ShareOf returns the fraction with which Split holds out exactly n images, or all if there are no
// more than n: for few images the size of a given fraction is a matter of luck.
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

// place maps a key to [0,1) by its hash.
func place(key string) float64 { return float64(hash(key)>>11) / (1 << 53) }

// Fingerprint identifies a set by its keys: a resumed run requires the set it began with.
func (s *Set) Fingerprint() string {
	h := sha256.New()
	for i := range s.Len() {
		io.WriteString(h, s.Key(i))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// hash is FNV-1a followed by mix, which improves the upper bits.
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
