package filter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Limits of metadata, in addition to MaxDepth.
const (
	MaxFields = 256 // in one object, not counting those that only hold others
	MaxName   = 512 // bytes of a field's name, dots included
)

// Metadata is one parsed JSON object. It does not retain the text.
type Metadata struct{ fields []field } // sorted by name

type field struct {
	name   string
	values []scalar // sorted, distinct
}

// found is a value of a field, as met while parsing.
type found struct {
	name  string
	value scalar
}

// ReadMetadata parses metadata. Empty text means an empty object. Errors are written for the
// metadata's author. Limiting the text's length is up to the caller.
func ReadMetadata(text []byte) (*Metadata, error) {
	if len(text) == 0 {
		return &Metadata{}, nil
	}
	c, err := open(text)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	all, err := collectFields(make([]found, 0, 16), c, "")
	if err == nil {
		err = fewEnough(all)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return gather(all), nil
}

// CheckMetadata reports what is wrong with metadata: it must be one JSON object in UTF-8 without
// duplicate keys, within the limits, and its numbers must fit 64-bit floats. Empty text means an
// empty object.
func CheckMetadata(text []byte) error {
	_, err := ReadMetadata(text)
	return err
}

// collectFields advances past an object and appends the values of its fields, whose names begin
// with prefix.
func collectFields(all []found, c *cursor, prefix string) ([]found, error) {
	err := c.members(func(key string) (err error) {
		name := prefix + key
		if len(name) > MaxName {
			return fmt.Errorf("the field %s has a name of more than %d bytes", shown(name), MaxName)
		}
		all, err = collect(all, c, name)
		return err
	})
	return all, err
}

// collect advances past a value and appends the values of the field of that name and of those
// nested in it.
func collect(all []found, c *cursor, name string) ([]found, error) {
	here := len(all)
	switch c.next() {
	case '{':
		all, err := collectFields(append(all, found{name, scalar{kind: holder}}), c, name+".")
		if len(all) == here+1 {
			all[here].value.kind = nothing
		}
		return all, err
	case '[':
		all = append(all, found{name, scalar{kind: nothing}})
		err := c.elements(func(int) (err error) {
			all, err = collect(all, c, name)
			return err
		})
		return all, err
	}
	value, err := c.scalar()
	if err != nil {
		err = fmt.Errorf("%s: %w", shown(name), err)
	}
	return append(all, found{name, value}), err
}

// fewEnough sorts by field and value, and limits the number of fields to MaxFields.
func fewEnough(all []found) error {
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(strings.Compare(a.name, b.name), order(a.value, b.value))
	})
	fields := 0
	for i, f := range all {
		if last := i+1 == len(all) || all[i+1].name != f.name; last && f.value.kind != holder {
			fields++
		}
	}
	if fields > MaxFields {
		return fmt.Errorf("it has %d fields, more than the %d allowed", fields, MaxFields)
	}
	return nil
}

// gather groups the sorted values by field.
func gather(all []found) *Metadata {
	m := &Metadata{make([]field, 0, len(all))}
	values := make([]scalar, 0, len(all)) // never reallocated
	for i := 0; i < len(all); {
		name, start := all[i].name, len(values)
		for ; i < len(all) && all[i].name == name; i++ {
			v := all[i].value
			if v.kind > nothing && (len(values) == start || values[len(values)-1] != v) {
				values = append(values, v)
			}
		}
		m.fields = append(m.fields, field{name, values[start:len(values):len(values)]})
	}
	return m
}

// field returns the values of a field, and whether it is present.
func (m *Metadata) field(name string) ([]scalar, bool) {
	i, ok := slices.BinarySearchFunc(m.fields, name, func(f field, name string) int { return strings.Compare(f.name, name) })
	if !ok {
		return nil, false
	}
	return m.fields[i].values, true
}
