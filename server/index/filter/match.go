package filter

import "math/bits"

// Matcher is a filter with what it says of each distinct value. It never changes: any
// number of goroutines may use it at once.
type Matcher struct{ root *step }

// step is a table of one field's codes, or joins others.
type step struct {
	join  junction
	field int    // of a table
	table table  // with as many bits as the field has codes, and more
	bytes []byte // the table with a byte for each code, 0 or 1, unless it would be large
	parts []*step
}

type junction byte

const (
	single junction = iota // a table
	and
	or
	not // of its one part
)

// Match sets bit i of into for each of the first n rows that fulfils the filter, clears
// all others and returns how many it set. There must be room for n bits; n is at most
// PageRows, and no more than were published with the page.
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

// match does so, but for bits beyond n, which may have any value.
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

// look takes each row's bit from the table.
func (s *step) look(column []uint32, n int, into []uint64) {
	column = column[:min(n, len(column))] // the rest is the writer's
	full := len(column) / 64
	for i := range full {
		rows := (*[64]uint32)(column[64*i:])
		if s.bytes != nil {
			into[i] = fromBytes(s.bytes, rows)
		} else {
			into[i] = fromBits(s.table, rows)
		}
	}
	fill(into[full:], s.table.bit(0) != 0) // no longer column: the field is not there
	for i, code := range column[64*full:] {
		into[full] = into[full]&^(1<<i) | s.table.bit(code)<<i
	}
}

// fromBytes looks up 64 rows. It takes a quarter of the time of fromBits.
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
