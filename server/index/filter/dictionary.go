package filter

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MostFields is how many fields the metadata of one Dictionary may have, those that
// hold others counted.
const MostFields = 1024

// ErrFields is that of metadata with a field that is one too many.
var ErrFields = fmt.Errorf("all items of a namespace together may have %d fields", MostFields)

// Dictionary numbers the fields of much metadata, and the distinct values of each. It
// is its writer's alone; readers have Views. It only grows: what is in no row any more
// goes when the rows move to another Dictionary: see Renew.
type Dictionary struct {
	numbers map[string]int // of fields
	fields  []*vocabulary
	size    int64
}

// vocabulary numbers what one field can have, from 1 on: a value, or several at once,
// or none; 0 is for rows without the field.
type vocabulary struct {
	numbers map[float64]uint32
	texts   map[string]uint32
	others  map[string]uint32
	terms   terms
	seen    *terms // what Views have, nil when terms is newer
}

// Row is the metadata of one row: the fields that it has, and their codes.
type Row struct{ cells []cell }

type cell struct {
	field int
	code  uint32
}

// NewDictionary returns one without fields.
func NewDictionary() *Dictionary { return &Dictionary{numbers: map[string]int{}} }

// Encode codes the metadata of a row. It refuses what CheckMetadata does, and fields
// that would be too many; then the dictionary is as it was.
func (d *Dictionary) Encode(metadata []byte) (Row, error) {
	m, err := ReadMetadata(metadata)
	if err != nil {
		return Row{}, err
	}
	return d.Add(m)
}

// Add is Encode for metadata that was read before.
func (d *Dictionary) Add(m *Metadata) (Row, error) {
	n := len(d.fields)
	for _, f := range m.fields {
		if _, known := d.numbers[f.name]; known {
			continue
		}
		if n++; n > MostFields {
			return Row{}, fmt.Errorf("metadata: the field %s is one too many: %w", shown(f.name), ErrFields)
		}
	}
	cells := make([]cell, len(m.fields))
	for i, f := range m.fields {
		number := d.field(f.name)
		cells[i] = cell{number, d.code(d.fields[number], f.values)}
	}
	return Row{cells}, nil
}

// Mark is how many fields there are, for Reset.
func (d *Dictionary) Mark() int { return len(d.fields) }

// Reset forgets the fields that have come since Mark returned mark. No row of theirs may
// be in use, and no View of them have been taken. New values of other fields stay.
func (d *Dictionary) Reset(mark int) {
	for _, v := range d.fields[mark:] {
		delete(d.numbers, v.terms.name)
	}
	d.fields = slices.Clip(d.fields[:mark])
}

// Size is about how many bytes of memory the dictionary takes.
func (d *Dictionary) Size() int64 { return d.size }

// field returns the number of a field, a new one if need be.
func (d *Dictionary) field(name string) int {
	number, known := d.numbers[name]
	if !known {
		number = len(d.fields)
		d.numbers[name] = number
		d.fields = append(d.fields, &vocabulary{
			numbers: map[float64]uint32{}, texts: map[string]uint32{}, others: map[string]uint32{}, terms: terms{name: name},
		})
		d.size += int64(500 + len(name))
	}
	return number
}

// code returns the code of values, a new one if need be.
func (d *Dictionary) code(v *vocabulary, values []scalar) uint32 {
	next := v.terms.codes + 1
	code, size := next, 0
	switch {
	case len(values) == 1 && values[0].kind == number:
		code, size = codeOf(v.numbers, values[0].number, next), 30
	case len(values) == 1 && values[0].kind == text:
		code, size = codeOf(v.texts, values[0].text, next), 40
	default:
		key := string(appendValues(nil, values))
		code, size = codeOf(v.others, key, next), 40+len(key)
	}
	if code != next {
		return code
	}
	v.terms.codes, v.seen = next, nil
	for _, s := range values {
		v.terms.add(s, next)
		size += 24 + len(s.text)
	}
	d.size += int64(size)
	return code
}

// codeOf looks up a code, and takes next for what has none.
func codeOf[K comparable](codes map[K]uint32, key K, next uint32) uint32 {
	code, known := codes[key]
	if !known {
		code = next
		codes[key] = next
	}
	return code
}

// appendValues writes values so that other values never look the same.
func appendValues(b []byte, values []scalar) []byte {
	for _, s := range values {
		b = append(b, byte(s.kind))
		switch s.kind {
		case number:
			b, _ = binary.Append(b, binary.BigEndian, s.number) // it has a fixed size
		case text:
			b = append(binary.AppendUvarint(b, uint64(len(s.text))), s.text...)
		}
	}
	return b
}
