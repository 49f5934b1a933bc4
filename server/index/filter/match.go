package filter

import "math/bits"

// Matcher is a filter with what it says of each distinct value. It never changes: any
// number of goroutines may use it at once.
type Matcher struct{ root *step }

// step is a table of one field's codes, or joins others.
type step struct {
	join  junction
	field int   // of a table
	table table // with as many bits as the field has codes, and more
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
		w := uint64(0)
		for _, code := range column[64*i : 64*i+64] {
			w = w>>1 | s.table[code/64]>>(code%64)<<63
		}
		into[i] = w
	}
	fill(into[full:], s.table[0]&1 != 0) // no longer column: the field is not there
	for i, code := range column[64*full:] {
		bit := uint64(1) << i
		into[full] = into[full]&^bit | s.table[code/64]>>(code%64)&1<<i
	}
}

// take joins another step. Tables of one field become one, so that a range costs as
// much as its one end.
func (s *step) take(x *step) {
	if x.join == s.join {
		for _, part := range x.parts {
			s.take(part)
		}
		return
	}
	for _, have := range s.parts {
		if have.join == single && x.join == single && have.field == x.field {
			have.table.with(x.table, s.join)
			return
		}
	}
	s.parts = append(s.parts, x)
}

// simple is the step without a junction of one.
func (s *step) simple() *step {
	if len(s.parts) == 1 {
		return s.parts[0]
	}
	return s
}

// opposite holds where s does not.
func (s *step) opposite() *step {
	if s.join == single {
		s.table.invert()
		return s
	}
	return &step{join: not, parts: []*step{s}}
}

// with joins a table of the same length.
func (t table) with(other table, by junction) {
	for i, w := range other {
		if by == and {
			t[i] &= w
		} else {
			t[i] |= w
		}
	}
}
