package filter

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

// mostBytes is how many codes a table may have that gets bytes: there may be as many
// large ones as a filter has conditions.
const mostBytes = 1 << 17

// unpack makes bytes of the tables, once they have been joined.
func (s *step) unpack() {
	if s.join == single && 64*len(s.table) <= mostBytes {
		s.bytes = s.table.bytes()
	}
	for _, x := range s.parts {
		x.unpack()
	}
}
