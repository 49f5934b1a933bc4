package filter

import (
	"cmp"
	"strings"
)

// kind is the type of a value. The first two are no values: holder marks a field that is present
// only because it holds others, nothing one that is present in its own right, as {} or [].
type kind uint8

const (
	holder kind = iota
	nothing
	null
	no
	yes
	number
	text
)

// scalar is one value. Scalars are equal (==) if they are the same value.
type scalar struct {
	kind   kind
	number float64 // finite, and never -0
	text   string
}

// order sorts by kind, then by value.
func order(a, b scalar) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.number, b.number), strings.Compare(a.text, b.text))
}

// plain returns the value in the type that encoding/json uses for it.
func (s scalar) plain() any {
	switch s.kind {
	case no, yes:
		return s.kind == yes
	case number:
		return s.number
	case text:
		return s.text
	}
	return nil
}

func truth(is bool) scalar {
	if is {
		return scalar{kind: yes}
	}
	return scalar{kind: no}
}
