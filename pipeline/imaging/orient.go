package imaging

// turns describes, by EXIF orientation, where the first pixel of the upright image is stored (at
// the right end of a row, in the last row) and whether its rows run along the stored rows or the
// stored columns.
var turns = [9]struct{ right, bottom, columns bool }{
	2: {right: true},
	3: {right: true, bottom: true},
	4: {bottom: true},
	5: {columns: true},
	6: {columns: true, bottom: true},
	7: {columns: true, right: true, bottom: true},
	8: {columns: true, right: true},
}

// orient writes m to dst, upright according to the EXIF orientation o.
func orient(dst, m *RGB, o int) {
	t := turns[o]
	first, along, across := 0, 1, m.W
	if t.right {
		first, along = m.W-1, -1
	}
	if t.bottom {
		first, across = first+(m.H-1)*m.W, -m.W
	}
	if t.columns {
		dst.resize(m.H, m.W)
		along, across = across, along
	} else {
		dst.resize(m.W, m.H)
	}
	// Process a few rows at once, so that columns are read a cache line wide.
	const rows = 16
	for top := 0; top < dst.H; top += rows {
		for x := range dst.W {
			at := 3 * (first + along*x + across*top)
			for y := top; y < min(top+rows, dst.H); y++ {
				copy(dst.Pix[3*(y*dst.W+x):][:3], m.Pix[at:at+3])
				at += 3 * across
			}
		}
	}
}
