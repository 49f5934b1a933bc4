package filter

import (
	"math/bits"
	"slices"
)

// PageRows is how many rows a page has.
const PageRows = 4096

// leastRows is how many rows the memory of a column has at first.
const leastRows = 64

// Page has the columns of up to PageRows rows, as codes of one Dictionary; the zero
// Page has none yet. Its writer sets rows that no reader looks at yet, and then
// publishes the Page together with how many rows are in it and a View of the
// dictionary. Readers need no lock: of the rows they were told of nothing changes.
type Page struct {
	columns [][]uint32 // by the field's number; a row beyond the end does not have the field
}

// With sets a row that is not visible to readers, and returns the page to publish, which
// takes the place of p. It panics if there is no such row.
func (p Page) With(row int, r Row) Page {
	if row < 0 || row >= PageRows {
		panic("filter: a page has no such row")
	}
	owned := false
	for _, c := range r.cells {
		if row < len(p.column(c.field)) {
			continue
		}
		if !owned { // readers have the old one
			p.columns, owned = slices.Clone(p.columns), true
		}
		p.grow(c.field, row)
	}
	for _, column := range p.columns {
		if row < len(column) {
			column[row] = 0 // from an attempt before
		}
	}
	for _, c := range r.cells {
		p.columns[c.field][row] = c.code
	}
	return p
}

// grow makes room for a row in a column.
func (p *Page) grow(field, row int) {
	for len(p.columns) <= field {
		p.columns = append(p.columns, nil)
	}
	column := make([]uint32, max(leastRows, 1<<bits.Len(uint(row))))
	copy(column, p.columns[field])
	p.columns[field] = column
}

// Row returns what With has set, to be set in another page.
func (p Page) Row(row int) Row {
	var r Row
	for field, column := range p.columns {
		if row < len(column) && column[row] != 0 {
			r.cells = append(r.cells, cell{field, column[row]})
		}
	}
	return r
}

// Size is how many bytes of memory the page takes.
func (p Page) Size() int64 {
	size := int64(0)
	for _, column := range p.columns {
		size += int64(24 + 4*len(column))
	}
	return size
}

// column is that of a field, nil if there is none.
func (p Page) column(field int) []uint32 {
	if uint(field) >= uint(len(p.columns)) {
		return nil
	}
	return p.columns[field]
}
