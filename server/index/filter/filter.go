// Package filter is the language in which searches say what metadata must fulfil, and
// the columns in which metadata is kept so that filters cost little next to a scan.
//
// Metadata is one JSON object. Its fields are named by dotted paths: {"camera":{"make":
// "x"}} and {"camera.make":"x"} both have the field camera.make, and the field camera,
// which is there but has no value. A field has any number of values, each a string, a
// number, true, false or null: a list stands for its elements, lists in it for theirs,
// and the objects in a list, {"boxes":[{"label":"cat"},{"label":"dog"}]}, give one field,
// boxes.label, the values of all. Likewise the values add up where a dotted key and a
// nested object name one field. {} and [] are there without a value.
//
// A filter is an object, too:
//
//	{"label":"cat","camera.make":"x"}       both
//	{"year":{"$gte":2020,"$lt":2024}}       $eq $ne $gt $gte $lt $lte
//	{"label":{"$in":["cat","dog"]}}         $in $nin
//	{"label":{"$exists":true}}              the field is there, whatever its values
//	{"$or":[{...},{...}],"$not":{...}}      $and $or $not
//
// An operator holds when it does for one of the field's values; each of several may do
// so for another. $ne and $nin are the opposites of $eq and $in, so they hold for fields
// that are not there. As in MongoDB, null equals a value null and a field that is not
// there. Numbers compare with numbers, as 64-bit floats: integers beyond 2^53 may equal
// their neighbours. Strings compare with strings, byte by byte, which suits ISO dates.
// {} holds for everything. Keys that start with $ are operators; a field of that name
// on the outermost level of metadata can be stored, but not asked for.
package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Limits of a filter.
const (
	MaxText       = 16 << 10 // bytes
	MaxDepth      = 16       // objects and lists in each other, of metadata as well
	MaxValues     = 1000     // of one $in or $nin
	MaxConditions = 64       // operators on fields, all together
)

// Filter is a condition on metadata; nil and the zero Filter hold for everything. It is
// not changed once it is there: any number of goroutines may use it at once.
type Filter struct{ root object }

// object is a filter or a part of one: all of its members must hold. They are sorted by
// key.
type object []member

// member is an operator with the filters that it joins, or a field with its tests.
type member struct {
	key   string
	parts []object // of $and, $or; one of $not
	tests []test   // sorted by operator; all must hold
}

// test is an operator on the values of a field.
type test struct {
	operator string
	values   []scalar // one; of $in and $nin any number, sorted, each once
}

// Parse reads a filter. Errors are sentences for whoever wrote it.
func Parse(text []byte) (*Filter, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("filter: it has %d bytes, more than the %d allowed", len(text), MaxText)
	}
	return parse(text)
}

// String is the filter in its canonical form: of filters that say the same in another
// order or spelling it is the same text. Parse takes it back unless the spelling has
// made it longer than MaxText.
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

// UnmarshalJSON reads a filter as Parse does, and leaves f as it is for null.
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

// list writes things between brackets, with commas.
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

// write writes a plain value as JSON that people can read.
func write(b *bytes.Buffer, x any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(x) // a buffer takes everything, and plain values can be encoded
	b.Truncate(b.Len() - 1)
}
