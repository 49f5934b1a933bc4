package filter

import (
	"encoding/binary"
	"math"
)

// Renewal moves rows from a Dictionary to a new one, which gets only the fields and values that
// these rows have.
type Renewal struct {
	To     *Dictionary
	fields []renewedField // by old field number
}

// renewedField is a field of the old dictionary.
type renewedField struct {
	name   string
	number int        // of the new field; -1 until a row has it
	values [][]scalar // by old code
	codes  []uint32   // new codes by old code; 0 until a row has it
}

// Renew starts moving the rows of d, which must not change until all have been moved. It takes
// time proportional to the number of distinct values.
func (d *Dictionary) Renew() *Renewal {
	r := &Renewal{NewDictionary(), make([]renewedField, len(d.fields))}
	for i, v := range d.fields {
		r.fields[i] = renewedField{v.terms.name, -1, v.values(), make([]uint32, v.terms.codes+1)}
	}
	return r
}

// values returns the values that each code stands for.
func (v *vocabulary) values() [][]scalar {
	all := make([][]scalar, v.terms.codes+1)
	for n, code := range v.numbers {
		all[code] = []scalar{{kind: number, number: n}}
	}
	for t, code := range v.texts {
		all[code] = []scalar{{kind: text, text: t}}
	}
	for key, code := range v.others {
		all[code] = readValues([]byte(key))
	}
	return all
}

// Row translates an old row to the new dictionary.
func (r *Renewal) Row(old Row) Row {
	cells := make([]cell, len(old.cells))
	for i, c := range old.cells {
		f := &r.fields[c.field]
		if f.number < 0 {
			f.number = r.To.field(f.name)
		}
		if f.codes[c.code] == 0 {
			f.codes[c.code] = r.To.code(r.To.fields[f.number], f.values[c.code])
		}
		cells[i] = cell{f.number, f.codes[c.code]}
	}
	return Row{cells}
}

// readValues decodes the encoding of appendValues.
func readValues(b []byte) (values []scalar) {
	for len(b) > 0 {
		s := scalar{kind: kind(b[0])}
		b = b[1:]
		switch s.kind {
		case number:
			s.number = math.Float64frombits(binary.BigEndian.Uint64(b))
			b = b[8:]
		case text:
			n, size := binary.Uvarint(b)
			s.text = string(b[size : size+int(n)])
			b = b[size+int(n):]
		}
		values = append(values, s)
	}
	return values
}
