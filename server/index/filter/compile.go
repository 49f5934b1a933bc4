package filter

import (
	"math"
	"slices"
	"strings"
)

// unknown is the number of a field that occurs in no row.
const unknown = -1

// Compile prepares the filter for rows of pages published with the View or earlier. Each test
// runs once per distinct value of its field.
func (f *Filter) Compile(v View) *Matcher {
	if f == nil {
		f = &Filter{}
	}
	s := f.root.compile(v)
	s.unpack()
	return &Matcher{s}
}

func (o object) compile(v View) *step {
	s := &step{join: and}
	for _, m := range o {
		s.take(m.compile(v))
	}
	return s.simple()
}

func (m member) compile(v View) *step {
	switch m.key {
	case "$not":
		return m.parts[0].compile(v).opposite()
	case "$and", "$or":
		s := &step{join: and}
		if m.key == "$or" {
			s.join = or
		}
		for _, o := range m.parts {
			s.take(o.compile(v))
		}
		return s.simple()
	}
	number := slices.IndexFunc(v.fields, func(t *terms) bool { return t.name == m.key })
	t := &terms{}
	if number != unknown {
		t = v.fields[number]
	}
	s := &step{join: and}
	for _, x := range m.tests {
		s.take(&step{field: number, table: x.compile(t)})
	}
	return s.simple()
}

// compile returns the codes that pass.
func (t test) compile(all *terms) table {
	passes := newTable(all.codes)
	switch t.operator {
	case "$exists":
		passes.set(0)
		if t.values[0].kind == yes {
			passes.invert()
		}
	case "$eq", "$in", "$ne", "$nin":
		t.equal(all, passes)
		if t.operator == "$ne" || t.operator == "$nin" {
			passes.invert()
		}
	default:
		t.compare(all, passes)
	}
	return passes
}

// equal sets the codes that have one of the test's values.
func (t test) equal(all *terms, passes table) {
	var kinds [text + 1]bool
	var numbers []float64
	var texts []string
	for _, v := range t.values { // sorted
		switch kinds[v.kind] = true; v.kind {
		case number:
			numbers = append(numbers, v.number)
		case text:
			texts = append(texts, v.text)
		}
	}
	if kinds[null] {
		passes.set(0)
	}
	for _, x := range all.others {
		if kinds[x.value] {
			passes.set(x.code)
		}
	}
	if len(numbers) == 1 {
		between(numbers[0], numbers[0], all, passes)
	} else if len(numbers) > 1 {
		for _, x := range all.numbers {
			if _, ok := slices.BinarySearch(numbers, x.value); ok {
				passes.set(x.code)
			}
		}
	}
	oneOf(texts, all, passes)
}

// oneOf sets the codes that have one of these texts, which are sorted.
func oneOf(texts []string, all *terms, passes table) {
	if len(texts) == 0 {
		return
	}
	var some [1 << 10]uint64 // bitmap of the hashes, which rejects most other texts
	for _, s := range texts {
		h := hash(s) >> 16
		some[h/64] |= 1 << (h % 64)
	}
	for i := range all.texts {
		x := &all.texts[i]
		if h := x.hash >> 16; some[h/64]>>(h%64)&1 != 0 {
			if _, ok := slices.BinarySearch(texts, x.value); ok {
				passes.set(x.code)
			}
		}
	}
}

// compare sets the codes that have a value satisfying the test's comparison.
func (t test) compare(all *terms, passes table) {
	x := t.values[0]
	if x.kind == text {
		below, equal, above := t.accepts(-1), t.accepts(0), t.accepts(1)
		for i := range all.texts {
			sign := strings.Compare(all.texts[i].value, x.text)
			if sign < 0 && below || sign == 0 && equal || sign > 0 && above {
				passes.set(all.texts[i].code)
			}
		}
		return
	}
	low, high := math.Inf(-1), math.Inf(1)
	switch t.operator {
	case "$gt":
		low = math.Nextafter(x.number, high)
	case "$gte":
		low = x.number
	case "$lt":
		high = math.Nextafter(x.number, low)
	case "$lte":
		high = x.number
	}
	between(low, high, all, passes)
}

// between sets the codes that have a number from low to high inclusive.
func between(low, high float64, all *terms, passes table) {
	for _, x := range all.numbers {
		if low <= x.value && x.value <= high {
			passes.set(x.code)
		}
	}
}
