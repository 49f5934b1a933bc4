package filter

import (
	"encoding/binary"
	"math"
)

// Renewal moves rows from a Dictionary to a new one, which gets only the fields and
// values that they have.
type Renewal struct {
	To     *Dictionary
	fields []renewedField // by the number of the old field
}

// renewedField is a field of the old dictionary.
type renewedField struct {
	name   string
	number int        // of the new field, -1 while no row has it
	values [][]scalar // by old code
	codes  []uint32   // new ones by old code, 0 while no row has it
}

// Renew begins to move the rows of d, which is not to be changed until they are all
// there. It takes as long as reading all values.
func (d *Dictionary) Renew() *Renewal {
	r := &Renewal{NewDictionary(), make([]renewedField, len(d.fields))}
	for i, v := range d.fields {
		r.fields[i] = renewedField{v.terms.name, -1, v.values(), make([]uint32, v.terms.codes+1)}
	}
	return r
}

// values are what the codes stand for.
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

// Row is an old row as the new dictionary has it.
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

// readValues reads what appendValues wrote.
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
