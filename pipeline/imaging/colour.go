package imaging

import "math"

// The operations of this file follow torchvision on Pillow images: every step
// rounds to 8 bits as Pillow's C code does, in float32 where it uses float.

// blend interpolates from a to b by factor (extrapolating above 1), clamped to 0..255 and
// truncated, like Pillow's Image.blend.
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

// table maps each byte value. Operations on single bytes only change the table, through which the
// next operation on whole pixels reads its input.
type table [256]uint8

func identity() (t table) {
	for v := range t {
		t[v] = uint8(v)
	}
	return t
}

// apply maps every byte through the table.
func (t *table) apply(pix []uint8) {
	if *t == identity() {
		return
	}
	for ; len(pix) >= 8; pix = pix[8:] {
		p := (*[8]uint8)(pix)
		p[0], p[1], p[2], p[3] = t[p[0]], t[p[1]], t[p[2]], t[p[3]]
		p[4], p[5], p[6], p[7] = t[p[4]], t[p[5]], t[p[6]], t[p[7]]
	}
	for i, v := range pix {
		pix[i] = t[v]
	}
}

// towards blends every entry with a constant.
func (t *table) towards(c uint8, factor float64) {
	var blended table
	for v := range blended {
		blended[v] = blend(c, uint8(v), float32(factor))
	}
	for i, v := range t {
		t[i] = blended[v]
	}
}

func (t *table) brightness(factor float64) { t.towards(0, factor) }

// contrast blends with the mean luma, rounded to an integer.
func (t *table) contrast(pix []uint8, factor float64) {
	sum, l := 0, t.lumas()
	for i := 0; i < len(pix)-2; i += 3 {
		p := (*[3]uint8)(pix[i:])
		sum += int(l.of(p[0], p[1], p[2]))
	}
	mean := float64(sum) / float64(len(pix)/3)
	t.towards(uint8(mean+0.5), factor)
}

// solarise inverts entries at or above the threshold.
func (t *table) solarise(threshold uint8) {
	for i, v := range t {
		if v >= threshold {
			t[i] = ^v
		}
	}
}

// lumas are the three terms of luma by byte value.
type lumas [3][256]uint32

func (t *table) lumas() (l lumas) {
	for i, v := range t {
		l[0][i], l[1][i], l[2][i] = uint32(v)*19595+0x8000, uint32(v)*38470, uint32(v)*7471
	}
	return l
}

func (l *lumas) of(r, g, b uint8) uint8 { return uint8((l[0][r] + l[1][g] + l[2][b]) >> 16) }

// greyscale sets all three channels to the luma of the pixel mapped through the table.
func (t *table) greyscale(pix []uint8) {
	l := t.lumas()
	for i := 0; i < len(pix)-2; i += 3 {
		p := (*[3]uint8)(pix[i:])
		v := l.of(p[0], p[1], p[2])
		p[0], p[1], p[2] = v, v, v
	}
}

// saturation blends each pixel, mapped through the table, with its own luma. The offset from the
// luma depends only on the channel's difference from it.
func (t *table) saturation(pix []uint8, factor float64) {
	change, ok := changes(float32(factor))
	if !ok {
		t.saturationBySteps(pix, float32(factor))
		return
	}
	l := t.lumas()
	for i := 0; i < len(pix)-2; i += 3 {
		p := (*[3]uint8)(pix[i:])
		r, g, b := p[0], p[1], p[2]
		v := int32(l.of(r, g, b))
		x := v + int32(change[(int32(t[r])-v)&511])
		y := v + int32(change[(int32(t[g])-v)&511])
		z := v + int32(change[(int32(t[b])-v)&511])
		if uint32(x|y|z) > 255 {
			x, y, z = int32(clip(x)), int32(clip(y)), int32(clip(z))
		}
		p[0], p[1], p[2] = uint8(x), uint8(y), uint8(z)
	}
}

func (t *table) saturationBySteps(pix []uint8, factor float32) {
	l := t.lumas()
	for i := 0; i < len(pix)-2; i += 3 {
		p := (*[3]uint8)(pix[i:])
		r, g, b := p[0], p[1], p[2]
		v := l.of(r, g, b)
		p[0], p[1], p[2] = blend(v, t[r], factor), blend(v, t[g], factor), blend(v, t[b], factor)
	}
}

// changes returns factor times 0..255 and then -256..-1, each rounded down. That equals truncating
// the sum with a byte unless a product is so little below an integer that the float32 sum, with 16
// fraction bits for a byte, rounds up to it; ok is false then.
func changes(factor float32) (c [512]int16, ok bool) {
	ok = true
	for i := range c {
		v := float64(factor * float32((i+256)&511-256))
		down := math.Floor(v)
		c[i] = int16(max(-256, min(down, 255)))
		ok = ok && v-down < 1-1./(1<<16)
	}
	return c, ok
}
