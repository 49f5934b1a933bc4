package imaging

// The operations of this file follow torchvision on Pillow images: every step
// rounds to 8 bits as Pillow's C code does, in float32 where it uses float.

// luma is Pillow's conversion to mode L (ITU-R 601 in 16-bit fixed point).
func luma(r, g, b uint8) uint8 {
	return uint8((uint32(r)*19595 + uint32(g)*38470 + uint32(b)*7471 + 0x8000) >> 16)
}

// blend moves from a towards b by factor (beyond b when it exceeds 1), cut off to
// 0..255 and truncated, as Pillow's Image.blend.
func blend(a, b uint8, factor float32) uint8 {
	v := float32(a) + float32(factor*float32(int(b)-int(a)))
	if v <= 0 {
		return 0
	}
	if v >= 255 {
		return 255
	}
	return uint8(v)
}

// mapped replaces every byte by its entry in the table.
func mapped(pix []uint8, table *[256]uint8) {
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// towards blends every byte with one constant.
func towards(pix []uint8, c uint8, factor float64) {
	if factor == 1 {
		return
	}
	var table [256]uint8
	for v := range table {
		table[v] = blend(c, uint8(v), float32(factor))
	}
	mapped(pix, &table)
}

func brightness(pix []uint8, factor float64) { towards(pix, 0, factor) }

// contrast blends with the mean of the luma, rounded to a whole number.
func contrast(pix []uint8, factor float64) {
	sum := 0
	for p := pix; len(p) >= 3; p = p[3:] {
		sum += int(luma(p[0], p[1], p[2]))
	}
	mean := float64(sum) / float64(len(pix)/3)
	towards(pix, uint8(mean+0.5), factor)
}

// saturation blends each pixel with its own luma.
func saturation(pix []uint8, factor float64) {
	f := float32(factor)
	if f == 1 {
		return
	}
	for p := pix; len(p) >= 3; p = p[3:] {
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = blend(l, p[0], f), blend(l, p[1], f), blend(l, p[2], f)
	}
}

// greyscale sets all three channels to the luma.
func greyscale(pix []uint8) {
	for p := pix; len(p) >= 3; p = p[3:] {
		l := luma(p[0], p[1], p[2])
		p[0], p[1], p[2] = l, l, l
	}
}

// solarise inverts every byte at or above the threshold.
func solarise(pix []uint8, threshold uint8) {
	for i, v := range pix {
		if v >= threshold {
			pix[i] = ^v
		}
	}
}

// mirror reverses each row of the w x h picture.
func mirror(pix []uint8, w, h int) {
	for y := range h {
		row := pix[3*w*y : 3*w*(y+1)]
		for a, b := 0, 3*(w-1); a < b; a, b = a+3, b-3 {
			row[a], row[b] = row[b], row[a]
			row[a+1], row[b+1] = row[b+1], row[a+1]
			row[a+2], row[b+2] = row[b+2], row[a+2]
		}
	}
}

// upend reverses the order of the rows.
func upend(pix []uint8, w, h int) {
	for a, b := 0, h-1; a < b; a, b = a+1, b-1 {
		top, bottom := pix[3*w*a:3*w*(a+1)], pix[3*w*b:3*w*(b+1)]
		for i, v := range top {
			top[i], bottom[i] = bottom[i], v
		}
	}
}
