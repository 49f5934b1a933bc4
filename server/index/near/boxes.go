package near

// leading is the number of axes of a box.
const leading = 8

// lead holds a row's coordinates along the first axes, 0 where there are fewer axes.
type lead [leading]float32

// box bounds the coordinates of a block's rows along the first axes.
type box struct{ low, high lead }

// around returns the box of some rows, at least one.
func around(leads []lead, rows []uint32) box {
	b := box{leads[rows[0]], leads[rows[0]]}
	for _, r := range rows {
		for k, v := range leads[r] {
			b.low[k], b.high[k] = min(b.low[k], v), max(b.high[k], v)
		}
	}
	return b
}

// widest returns the axis along which the box is longest.
func (b *box) widest() (axis int) {
	for k := range leading {
		if b.high[k]-b.low[k] > b.high[axis]-b.low[axis] {
			axis = k
		}
	}
	return axis
}

// within reports whether the boxes may have points no more than distance apart. The gaps along
// the axes are perpendicular, so their squares add up.
func (b *box) within(other *box, distance float64) bool {
	left := distance * distance * (1 + 1e-12) // allows for rounding of the squares
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

// ordered returns the rows in an order that keeps the rows of a block close together: the rows
// are split recursively, along the axis of largest extent, into two halves of whole blocks
// (Bentley's k-d tree).
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

// nth partitions rows so that none of the first n is greater along axis than any of the others
// (Hoare's quickselect).
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
