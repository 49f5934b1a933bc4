package filter

import (
	"cmp"
	"slices"
	"strings"
)

// Holds reports whether metadata satisfies the filter. Metadata that CheckMetadata rejects
// satisfies only a filter that matches everything. For many objects a Matcher is faster.
func (f *Filter) Holds(metadata []byte) bool {
	if f.all() {
		return true
	}
	m, err := ReadMetadata(metadata)
	return err == nil && f.HoldsFor(m)
}

// HoldsFor reports whether metadata satisfies the filter.
func (f *Filter) HoldsFor(m *Metadata) bool { return f.all() || f.root.hold(m) }

func (f *Filter) all() bool { return f == nil || len(f.root) == 0 }

func (o object) hold(m *Metadata) bool {
	return !slices.ContainsFunc(o, func(x member) bool { return !x.holds(m) })
}

func (x member) holds(m *Metadata) bool {
	switch x.key {
	case "$not":
		return !x.parts[0].hold(m)
	case "$and":
		return !slices.ContainsFunc(x.parts, func(o object) bool { return !o.hold(m) })
	case "$or":
		return slices.ContainsFunc(x.parts, func(o object) bool { return o.hold(m) })
	}
	values, there := m.field(x.key)
	return !slices.ContainsFunc(x.tests, func(t test) bool { return !t.holds(values, there) })
}

// holds reports whether a field with these values passes.
func (t test) holds(values []scalar, there bool) bool {
	switch t.operator {
	case "$exists":
		return there == (t.values[0].kind == yes)
	case "$eq", "$in":
		return t.equals(values, there)
	case "$ne", "$nin":
		return !t.equals(values, there)
	}
	return slices.ContainsFunc(values, t.compares)
}

func (t test) equals(values []scalar, there bool) bool {
	if !there {
		return slices.Contains(t.values, scalar{kind: null})
	}
	return slices.ContainsFunc(values, func(v scalar) bool { return slices.Contains(t.values, v) })
}

func (t test) compares(v scalar) bool {
	x := t.values[0]
	return v.kind == x.kind && t.accepts(cmp.Or(cmp.Compare(v.number, x.number), strings.Compare(v.text, x.text)))
}

// accepts reports whether a comparison holds for a value below (-1), equal to (0) or above (1)
// that of the test.
func (t test) accepts(sign int) bool {
	switch t.operator {
	case "$gt":
		return sign > 0
	case "$gte":
		return sign >= 0
	case "$lt":
		return sign < 0
	}
	return sign <= 0
}
