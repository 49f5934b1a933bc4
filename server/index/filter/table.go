package filter

import "math/bits"

// table has a bit for each code of a field: whether rows with it pass.
type table []uint64

func newTable(codes uint32) table { return make(table, codes/64+1) }

func (t table) set(code uint32) { t[code/64] |= 1 << (code % 64) }

func (t table) bit(code uint32) uint64 { return t[code/64] >> (code % 64) & 1 }

func (t table) invert() {
	for i := range t {
		t[i] = ^t[i]
	}
}

// bytes returns the table with one byte per code.
func (t table) bytes() []byte {
	b := make([]byte, 64*len(t))
	for i, w := range t {
		for ; w != 0; w &= w - 1 {
			b[64*i+bits.TrailingZeros64(w)] = 1
		}
	}
	return b
}

// with merges a table of the same length into t.
func (t table) with(other table, by junction) {
	for i, w := range other {
		if by == and {
			t[i] &= w
		} else {
			t[i] |= w
		}
	}
}
