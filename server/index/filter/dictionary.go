package filter

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MostFields is the maximum number of fields in a Dictionary, including those that only hold
// other fields.
const MostFields = 1024

// ErrFields is the error for metadata that would exceed MostFields.
var ErrFields = fmt.Errorf("the items of a namespace may have at most %d different fields", MostFields)

// Dictionary numbers the fields of many metadata objects, and the distinct values of each field.
// Only its writer may access it; readers use Views. It only grows: fields and values that no row
// uses any more are dropped by moving the rows to another Dictionary, see Renew.
type Dictionary struct {
	numbers map[string]int // of fields
	fields  []*vocabulary
	size    int64
}

// vocabulary assigns codes, from 1 on, to the distinct contents of one field: one value, several
// values, or none. Code 0 is for rows without the field.
type vocabulary struct {
	numbers map[float64]uint32
	texts   map[string]uint32
	others  map[string]uint32
	terms   terms
	size    int64  // approximate memory use in bytes
	seen    *terms // the copy that Views share; nil once terms has changed
}

// Row is the metadata of one row: its fields and their codes.
type Row struct{ cells []cell }

type cell struct {
	field int
	code  uint32
}

// NewDictionary returns an empty Dictionary.
func NewDictionary() *Dictionary { return &Dictionary{numbers: map[string]int{}} }

// Encode encodes the metadata of a row. It rejects metadata that CheckMetadata rejects or that
// would exceed MostFields; the dictionary is then unchanged.
func (d *Dictionary) Encode(metadata []byte) (Row, error) {
	m, err := ReadMetadata(metadata)
	if err != nil {
		return Row{}, err
	}
	return d.Add(m)
}

// Add is Encode for metadata that has already been parsed.
func (d *Dictionary) Add(m *Metadata) (Row, error) {
	n := len(d.fields)
	for _, f := range m.fields {
		if _, known := d.numbers[f.name]; known {
			continue
		}
		if n++; n > MostFields {
			return Row{}, fmt.Errorf("metadata: one field too many, %s: %w", shown(f.name), ErrFields)
		}
	}
	cells := make([]cell, len(m.fields))
	for i, f := range m.fields {
		number := d.field(f.name)
		cells[i] = cell{number, d.code(d.fields[number], f.values)}
	}
	return Row{cells}, nil
}

// Mark returns the number of fields, for Reset.
func (d *Dictionary) Mark() int { return len(d.fields) }

// Reset forgets the fields added since Mark returned mark. None of their Rows may be in use, and
// no View may have been taken since. New values of older fields stay.
func (d *Dictionary) Reset(mark int) {
	for _, v := range d.fields[mark:] {
		delete(d.numbers, v.terms.name)
		d.size -= v.size
	}
	d.fields = slices.Clip(d.fields[:mark])
}

// Size returns the dictionary's approximate memory use in bytes.
func (d *Dictionary) Size() int64 { return d.size }

// field returns the number of a field, adding it if it is new.
func (d *Dictionary) field(name string) int {
	number, known := d.numbers[name]
	if !known {
		number = len(d.fields)
		d.numbers[name] = number
		v := &vocabulary{numbers: map[float64]uint32{}, texts: map[string]uint32{}, others: map[string]uint32{}, terms: terms{name: name}, size: int64(500 + len(name))}
		d.fields = append(d.fields, v)
		d.size += v.size
	}
	return number
}

// code returns the code of values, adding one if they are new.
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
	v.size += int64(size)
	d.size += int64(size)
	return code
}

// codeOf looks up the code of key, and assigns it next if it has none.
func codeOf[K comparable](codes map[K]uint32, key K, next uint32) uint32 {
	code, known := codes[key]
	if !known {
		code = next
		codes[key] = next
	}
	return code
}

// appendValues appends an unambiguous encoding of values.
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
