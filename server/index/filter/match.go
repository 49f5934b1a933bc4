package filter

import "math/bits"

// Matcher is a filter compiled to its result for each distinct value. It is immutable and safe
// for concurrent use.
type Matcher struct{ root *step }

// step is either a table over one field's codes or a junction of other steps.
type step struct {
	join  junction
	field int    // that the table is for
	table table  // at least one bit per code of the field
	bytes []byte // the table with one byte per code, 0 or 1; nil if it would be large
	parts []*step
}

type junction byte

const (
	single junction = iota // a table
	and
	or
	not // of its only part
)

// Match sets bit i of into for each of the first n rows that satisfies the filter, clears all
// other bits and returns the number set. into must hold at least n bits; n is at most PageRows
// and at most the number of rows published with the page.
func (m *Matcher) Match(p Page, n int, into []uint64) int {
	words := into[:(n+63)/64]
	clear(into[len(words):])
	m.root.match(p, n, words)
	if n%64 != 0 {
		words[len(words)-1] &= 1<<(n%64) - 1
	}
	count := 0
	for _, w := range words {
		count += bits.OnesCount64(w)
	}
	return count
}

// match is Match for an into of (n+63)/64 words, whose bits from n on it leaves undefined.
func (s *step) match(p Page, n int, into []uint64) {
	switch s.join {
	case single:
		s.look(p.column(s.field), n, into)
		return
	case not:
		s.parts[0].match(p, n, into)
		for i := range into {
			into[i] = ^into[i]
		}
		return
	}
	fill(into, s.join == and)
	var room [PageRows / 64]uint64
	part := room[:len(into)]
	for _, x := range s.parts {
		x.match(p, n, part)
		for i, w := range part {
			if s.join == and {
				into[i] &= w
			} else {
				into[i] |= w
			}
		}
	}
}

func fill(into []uint64, set bool) {
	for i := range into {
		into[i] = 0
		if set {
			into[i] = ^uint64(0)
		}
	}
}

// look looks up each row's bit in the table.
func (s *step) look(column []uint32, n int, into []uint64) {
	column = column[:min(n, len(column))] // the rest belongs to the writer
	full := len(column) / 64
	for i := range full {
		rows := (*[64]uint32)(column[64*i:])
		if s.bytes != nil {
			into[i] = fromBytes(s.bytes, rows)
		} else {
			into[i] = fromBits(s.table, rows)
		}
	}
	fill(into[full:], s.table.bit(0) != 0) // rows past the end of the column lack the field
	for i, code := range column[64*full:] {
		into[full] = into[full]&^(1<<i) | s.table.bit(code)<<i
	}
}

// fromBytes looks up 64 rows, in a quarter of the time that fromBits needs.
func fromBytes(t []byte, rows *[64]uint32) (w uint64) {
	for c := rows[:]; len(c) >= 8; c = c[8:] {
		b := t[c[0]] | t[c[1]]<<1 | t[c[2]]<<2 | t[c[3]]<<3 | t[c[4]]<<4 | t[c[5]]<<5 | t[c[6]]<<6 | t[c[7]]<<7
		w = w>>8 | uint64(b)<<56
	}
	return w
}

func fromBits(t table, rows *[64]uint32) (w uint64) {
	for c := rows[:]; len(c) >= 4; c = c[4:] {
		w = w>>4 | (t.bit(c[0])|t.bit(c[1])<<1|t.bit(c[2])<<2|t.bit(c[3])<<3)<<60
	}
	return w
}
