package filter

import (
	"math/bits"
	"slices"
)

// PageRows is the number of rows in a page.
const PageRows = 4096

// leastRows is the initial length of a column.
const leastRows = 64

// Page holds the columns of up to PageRows rows, as codes of one Dictionary; the zero Page has
// none. Its writer sets rows that no reader looks at yet, then publishes the Page together with
// its number of rows and a View of the dictionary. Readers need no lock: published rows never
// change.
type Page struct {
	columns [][]uint32 // by field number; rows beyond a column's end lack the field
}

// With sets a row that is not visible to readers, and returns the page to publish in place of p.
// It panics if row is out of range.
func (p Page) With(row int, r Row) Page {
	if row < 0 || row >= PageRows {
		panic("filter: a page has no such row")
	}
	owned := false
	for _, c := range r.cells {
		if row < len(p.column(c.field)) {
			continue
		}
		if !owned { // readers hold the old slice
			p.columns, owned = slices.Clone(p.columns), true
		}
		p.grow(c.field, row)
	}
	for _, column := range p.columns {
		if row < len(column) {
			column[row] = 0 // may be left over from an earlier attempt
		}
	}
	for _, c := range r.cells {
		p.columns[c.field][row] = c.code
	}
	return p
}

// grow extends a column to include row.
func (p *Page) grow(field, row int) {
	for len(p.columns) <= field {
		p.columns = append(p.columns, nil)
	}
	column := make([]uint32, max(leastRows, 1<<bits.Len(uint(row))))
	copy(column, p.columns[field])
	p.columns[field] = column
}

// Row returns a row as With set it, for use in another page.
func (p Page) Row(row int) Row {
	var r Row
	for field, column := range p.columns {
		if row < len(column) && column[row] != 0 {
			r.cells = append(r.cells, cell{field, column[row]})
		}
	}
	return r
}

// Size returns the page's memory use in bytes.
func (p Page) Size() int64 {
	size := int64(0)
	for _, column := range p.columns {
		size += int64(24 + 4*len(column))
	}
	return size
}

// column returns the column of a field, nil if there is none.
func (p Page) column(field int) []uint32 {
	if uint(field) >= uint(len(p.columns)) {
		return nil
	}
	return p.columns[field]
}
