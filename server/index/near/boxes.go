package near

// leading is how many axes boxes have.
const leading = 8

// lead is what a row is along the first axes, 0 along those that there are not.
type lead [leading]float32

// box is where the rows of a block are along the first axes.
type box struct{ low, high lead }

// around is the box of some rows, at least one.
func around(leads []lead, rows []uint32) box {
	b := box{leads[rows[0]], leads[rows[0]]}
	for _, r := range rows {
		for k, v := range leads[r] {
			b.low[k], b.high[k] = min(b.low[k], v), max(b.high[k], v)
		}
	}
	return b
}

// widest is the axis along which a box is longest.
func (b *box) widest() (axis int) {
	for k := range leading {
		if b.high[k]-b.low[k] > b.high[axis]-b.low[axis] {
			axis = k
		}
	}
	return axis
}

// within tells whether some point of a box may be no further than distance from one of the
// other: their gaps along the axes are the sides of a right angle.
func (b *box) within(other *box, distance float64) bool {
	left := distance * distance * (1 + 1e-12) // for what rounding does to the squares
	for k := range leading {
		gap := float64(max(b.low[k], other.low[k])) - float64(min(b.high[k], other.high[k]))
		if gap > 0 {
			if left -= gap * gap; left < 0 {
				return false
			}
		}
	}
	return true
}

// ordered are the rows in an order in which those of a block lie together: all are split,
// along the axis along which they differ most, in two halves of whole blocks, and so are
// the halves (Bentley's k-d tree).
func ordered(leads []lead) []uint32 {
	rows := make([]uint32, len(leads))
	for i := range rows {
		rows[i] = uint32(i)
	}
	split(leads, rows)
	return rows
}

func split(leads []lead, rows []uint32) {
	for len(rows) > block {
		b := around(leads, rows)
		half := (len(rows)/block + 1) / 2 * block
		nth(leads, rows, half, b.widest())
		split(leads, rows[:half])
		rows = rows[half:]
	}
}

// nth puts rows in an order in which none of the first n is greater along an axis than one
// of the others (Hoare's quickselect).
func nth(leads []lead, rows []uint32, n, axis int) {
	for len(rows) > 1 && 0 < n && n < len(rows) {
		pivot := leads[rows[len(rows)/2]][axis]
		i, j := 0, len(rows)-1
		for i <= j {
			for leads[rows[i]][axis] < pivot {
				i++
			}
			for leads[rows[j]][axis] > pivot {
				j--
			}
			if i <= j {
				rows[i], rows[j] = rows[j], rows[i]
				i++
				j--
			}
		}
		switch { // those before i are no greater than the pivot, those after j no less
		case n <= j:
			rows = rows[:j+1]
		case n >= i:
			rows, n = rows[i:], n-i
		default:
			return
		}
	}
}
