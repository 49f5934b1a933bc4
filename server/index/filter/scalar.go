package filter

import (
	"cmp"
	"strings"
)

// kind tells what a value is. The first two are no values: a field that is there
// because it holds others, and one that is there for its own sake, as {} or [].
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

// scalar is one value. Two are equal (==) when they are the same value.
type scalar struct {
	kind   kind
	number float64 // finite, and never -0
	text   string
}

// order sorts by kind, then by value.
func order(a, b scalar) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.number, b.number), strings.Compare(a.text, b.text))
}

// plain is the value as encoding/json knows it.
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
