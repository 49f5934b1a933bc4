package index

import (
	"slices"
	"sync/atomic"

	"vicreg/server/index/filter"
	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// segmentRows is the number of rows in a segment. Segments of a fixed size let a namespace grow
// without copying.
const segmentRows = filter.PageRows

// segment holds rows: the writer appends them, and a reader sees those before the n of its part.
// Rows are immutable once written. A full segment may get sketches.
type segment struct {
	vectors   []float32 // [rows, D], of length 1
	codes     []int8    // [rows, D], the vectors quantised to 8 bits
	scales    []float32 // [rows], of the codes
	residuals []float32 // [rows], bounds on the length that the codes lose
	keys      []int64   // [rows], in the store
	ids       []string  // [rows]

	sketches atomic.Pointer[sketch.Sketches] // of all rows; nil if there are none yet
}

// row is one vector prepared for search.
type row struct {
	vector          []float32
	codes           []int8
	scale, residual float32
}

// newRow prepares a vector of length 1.
func newRow(unit []float32) row {
	var r row
	r.become(unit)
	return r
}

// become is newRow, reusing the memory of r's codes.
func (r *row) become(unit []float32) {
	if cap(r.codes) < len(unit) {
		r.codes = make([]int8, len(unit))
	}
	r.vector, r.codes = unit, r.codes[:len(unit)]
	r.scale, r.residual = scan.Quantize(r.codes, unit)
}

// firstRows is the capacity of a namespace's first segment, which doubles up to segmentRows:
// there may be a namespace for each of many users.
const firstRows = 1

func newSegment(rows, dim int) *segment {
	return &segment{vectors: make([]float32, rows*dim), codes: make([]int8, rows*dim), scales: make([]float32, rows),
		residuals: make([]float32, rows), keys: make([]int64, rows), ids: make([]string, rows)}
}

// grown returns a copy with capacity for twice the rows.
func (s *segment) grown(dim int) *segment {
	g := newSegment(2*len(s.keys), dim)
	copy(g.vectors, s.vectors)
	copy(g.codes, s.codes)
	copy(g.scales, s.scales)
	copy(g.residuals, s.residuals)
	copy(g.keys, s.keys)
	copy(g.ids, s.ids)
	return g
}

func (s *segment) set(i int, key int64, id string, r row) {
	d := len(r.vector)
	copy(s.vectors[i*d:], r.vector)
	copy(s.codes[i*d:], r.codes)
	s.scales[i], s.residuals[i], s.keys[i], s.ids[i] = r.scale, r.residual, key, id
}

// row returns row i, sharing the segment's memory.
func (s *segment) row(i, dim int) row {
	return row{s.vectors[i*dim : (i+1)*dim : (i+1)*dim], s.codes[i*dim : (i+1)*dim : (i+1)*dim], s.scales[i], s.residuals[i]}
}

// part is a segment as readers see it.
type part struct {
	*segment
	n    int         // number of rows
	live []uint64    // a bit for each row that has not been replaced or deleted
	gone int         // number of rows replaced or deleted
	page filter.Page // the metadata of the rows

	idBytes int64 // of the texts of the rows' ids
	bytes   int64 // memory, as of the last publication
}

// sketched returns the sketches of the part's rows, nil if there are none or they are useless.
func (p part) sketched() *sketch.Sketches {
	if k := p.sketches.Load(); k != useless {
		return k
	}
	return nil
}

// without returns the part with row i marked as gone. own says that live is not shared with
// readers.
func (p part) without(i int, own bool) part {
	if !own {
		p.live = slices.Clone(p.live)
	}
	p.live[i/64] &^= 1 << (i % 64)
	p.gone++
	return p
}

func (p part) lives(i int) bool { return i < p.n && p.live[i/64]>>(i%64)&1 == 1 }
