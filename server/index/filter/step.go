package filter

// take adds another step to a junction. Tables of the same field are merged, so that a range
// costs no more than a one-sided comparison.
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

// simple returns s, or its part if it has only one.
func (s *step) simple() *step {
	if len(s.parts) == 1 {
		return s.parts[0]
	}
	return s
}

// opposite returns the negation of s.
func (s *step) opposite() *step {
	if s.join == single {
		s.table.invert()
		return s
	}
	return &step{join: not, parts: []*step{s}}
}

// mostBytes is the largest number of codes for which a table is unpacked to bytes: a filter may
// have as many large tables as conditions.
const mostBytes = 1 << 17

// unpack fills in the byte tables, after tables have been merged.
func (s *step) unpack() {
	if s.join == single && 64*len(s.table) <= mostBytes {
		s.bytes = s.table.bytes()
	}
	for _, x := range s.parts {
		x.unpack()
	}
}
