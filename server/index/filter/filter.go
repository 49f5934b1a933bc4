// Package filter implements the filter language of searches, and the columnar storage of metadata
// that makes filtering cheap compared with a scan.
//
// Metadata is one JSON object. Its fields are named by dotted paths: {"camera":{"make":"x"}} and
// {"camera.make":"x"} both have the field camera.make, and the first also has the field camera,
// which is present but has no value. A field has any number of values, each a string, a number,
// true, false or null. A list contributes its elements, including those of nested lists; the
// objects in a list, as in {"boxes":[{"label":"cat"},{"label":"dog"}]}, contribute all their
// values to one field, boxes.label. Values also accumulate where a dotted key and a nested object
// name the same field. {} and [] make a field present without a value.
//
// A filter is a JSON object too:
//
//	{"label":"cat","camera.make":"x"}       both must hold
//	{"year":{"$gte":2020,"$lt":2024}}       $eq $ne $gt $gte $lt $lte
//	{"label":{"$in":["cat","dog"]}}         $in $nin
//	{"label":{"$exists":true}}              the field is present, with any values or none
//	{"$or":[{...},{...}],"$not":{...}}      $and $or $not
//
// An operator holds for a field if it holds for any of its values; several operators may be
// satisfied by different values. $ne and $nin negate $eq and $in, so they hold for absent fields.
// As in MongoDB, null equals both a null value and an absent field. Numbers compare only with
// numbers, as 64-bit floats: integers beyond 2^53 may equal their neighbours. Strings compare
// only with strings, bytewise, which suits ISO dates. {} matches everything. Keys that start with
// $ are operators; metadata may have a top-level field with such a name, but filters cannot refer
// to it.
package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Limits of a filter.
const (
	MaxText       = 16 << 10 // bytes
	MaxDepth      = 16       // nesting of objects and lists, in metadata as well
	MaxValues     = 1000     // in one $in or $nin
	MaxConditions = 64       // operators on fields, in total
)

// Filter is a condition on metadata; nil and the zero Filter match everything. It is immutable
// and safe for concurrent use.
type Filter struct{ root object }

// object is a filter or a subfilter: all of its members must hold. They are sorted by key.
type object []member

// member is a junction with its subfilters, or a field with its tests.
type member struct {
	key   string
	parts []object // operands of $and, $or; the single one of $not
	tests []test   // sorted by operator; all must hold
}

// test is an operator on the values of a field.
type test struct {
	operator string
	values   []scalar // exactly one, except for $in and $nin: sorted and distinct
}

// Parse parses a filter. Its errors are written for the filter's author.
func Parse(text []byte) (*Filter, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("filter: it has %d bytes, more than the %d allowed", len(text), MaxText)
	}
	return parse(text)
}

// String returns the filter's canonical form: filters that differ only in order or spelling have
// the same one. Parse accepts it unless canonical spelling makes it longer than MaxText.
func (f *Filter) String() string {
	if f == nil {
		return "{}"
	}
	var b bytes.Buffer
	f.root.write(&b)
	return b.String()
}

// MarshalJSON returns the canonical form.
func (f *Filter) MarshalJSON() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalJSON parses a filter as Parse does; null leaves f unchanged.
func (f *Filter) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	read, err := Parse(text)
	if err == nil {
		*f = *read
	}
	return err
}

func (o object) write(b *bytes.Buffer) {
	list(b, "{}", o, func(m member) {
		write(b, m.key)
		b.WriteByte(':')
		switch {
		case m.key == "$not":
			m.parts[0].write(b)
		case m.parts != nil:
			list(b, "[]", m.parts, func(o object) { o.write(b) })
		case len(m.tests) == 1 && m.tests[0].operator == "$eq":
			write(b, m.tests[0].values[0].plain())
		default:
			list(b, "{}", m.tests, func(t test) { t.write(b) })
		}
	})
}

func (t test) write(b *bytes.Buffer) {
	write(b, t.operator)
	b.WriteByte(':')
	if t.operator != "$in" && t.operator != "$nin" {
		write(b, t.values[0].plain())
		return
	}
	list(b, "[]", t.values, func(s scalar) { write(b, s.plain()) })
}

// list writes elements between brackets, separated by commas.
func list[T any](b *bytes.Buffer, brackets string, all []T, one func(T)) {
	b.WriteByte(brackets[0])
	for i, x := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		one(x)
	}
	b.WriteByte(brackets[1])
}

// write writes a plain value as JSON, without HTML escaping.
func write(b *bytes.Buffer, x any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(x) // neither the buffer nor a plain value can fail
	b.Truncate(b.Len() - 1)
}
