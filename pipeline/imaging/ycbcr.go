package imaging

import (
	"encoding/binary"
	"image"
)

// upsampler converts the planes of a JPEG to RGB as libjpeg does by default: halved chroma is
// upsampled with a triangle filter, other ratios by replication.
type upsampler struct {
	h, v, w, rows, stride int     // of the current chroma planes
	line                  []uint8 // one row of both at full width
	jfif                  *colourTable
}

// fill writes im, which has m's size, to m. colours names the colour space of the samples: ycc,
// rgb, or cmyk and ycck, with black in the fourth byte of each pixel of inks.
func (u *upsampler) fill(m *RGB, im *image.YCbCr, inks []uint8, colours string) {
	u.h, u.v = ratio(im.SubsampleRatio)
	u.w, u.rows, u.stride = (m.W+u.h-1)/u.h, (m.H+u.v-1)/u.v, im.CStride
	u.line = grow(u.line, 2*u.w*u.h)
	if u.jfif == nil {
		u.jfif = newColourTable()
	}
	cb, cr := u.line[:u.w*u.h], u.line[u.w*u.h:]
	for y := range m.H {
		b, r, luma := u.row(cb, im.Cb, y), u.row(cr, im.Cr, y), im.Y[y*im.YStride:][:m.W]
		dst := m.Pix[3*m.W*y : 3*m.W*(y+1)]
		if colours == "ycc" || colours == "ycck" {
			u.jfif.convert(dst, luma, b, r)
		} else {
			for x, v := range luma {
				dst[3*x], dst[3*x+1], dst[3*x+2] = v, b[x], r[x]
			}
		}
		switch colours {
		case "cmyk":
			for i := range dst {
				dst[i] = 255 - dst[i]
			}
			blacken(dst, inks[4*m.W*y:])
		case "ycck":
			blacken(dst, inks[4*m.W*y:])
		}
	}
}

// ratio returns the width and height of a chroma sample in pixels.
func ratio(r image.YCbCrSubsampleRatio) (h, v int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	default:
		return 1, 1
	}
}

// row returns line y of the full-size plane, using dst if it must be computed. The rounding
// constants alternate to avoid a bias, and are libjpeg's.
func (u *upsampler) row(dst, plane []uint8, y int) []uint8 {
	at := func(r int) []uint8 {
		r = min(max(r, 0), u.rows-1)
		return plane[r*u.stride : r*u.stride+u.w]
	}
	near, far := at(y/u.v), at(y/u.v-1+2*(y%u.v))
	switch {
	case u.h == 1 && u.v == 1:
		return near
	case u.h == 1:
		for x, v := range near {
			dst[x] = uint8((3*int32(v) + int32(far[x]) + 1 + int32(y&1)) >> 2)
		}
	case u.h == 2 && u.w > 2 && u.v == 1:
		// With the row itself as its neighbour, a sample counts four times.
		double(dst, near, near, 4, 8)
	case u.h == 2 && u.w > 2:
		double(dst, near, far, 8, 7)
	default:
		for x := range dst {
			dst[x] = near[x/u.h]
		}
	}
	return dst
}

// double upsamples a row by two horizontally: three quarters of the row plus one quarter of its
// neighbour row, then the same with the sample to the left for the first pixel and to the right for
// the second.
func double(dst, near, far []uint8, left, right uint64) {
	const even = 0x00ff00ff00ff00ff
	w := len(near)
	far, dst = far[:w], dst[:2*w]
	sum := func(x int) uint64 {
		x = min(max(x, 0), w-1)
		return 3*uint64(near[x]) + uint64(far[x])
	}
	x, last := 0, sum(0)
	// Eight samples at once in two words of four 16-bit sums, none of which ever reaches 2^12.
	left4, right4 := left*0x0001000100010001, right*0x0001000100010001
	for ; x+9 <= w; x += 8 {
		n, f := binary.LittleEndian.Uint64(near[x:]), binary.LittleEndian.Uint64(far[x:])
		e, o := 3*(n&even)+f&even, 3*(n>>8&even)+f>>8&even // samples 0 2 4 6, and 1 3 5 7
		next := 3*uint64(near[x+8]) + uint64(far[x+8])
		e3, o3 := 3*e, 3*o
		a := (e3+(o<<16|last)+left4)>>4&even | (e3+o+right4)<<4&^even     // pixels 0 1, 4 5, ..
		b := (o3+e+left4)>>4&even | (o3+(e>>16|next<<48)+right4)<<4&^even // pixels 2 3, 6 7, ..
		binary.LittleEndian.PutUint64(dst[2*x:], interleave(a, b))
		binary.LittleEndian.PutUint64(dst[2*x+8:], interleave(a>>32, b>>32))
		last = o >> 48
	}
	for ; x < w; x++ {
		v, next := sum(x), sum(x+1)
		dst[2*x], dst[2*x+1] = uint8((3*v+last+left)>>4), uint8((3*v+next+right)>>4)
		last = v
	}
}

// interleave interleaves the lower two 16-bit values of a and b.
func interleave(a, b uint64) uint64 {
	a, b = a&0xffffffff, b&0xffffffff
	return (a|a<<16)&0x0000ffff0000ffff | (b<<16|b<<32)&0xffff0000ffff0000
}

// colourTable is the JFIF conversion in libjpeg's 16-bit fixed point. A word carries all three
// channels, each biased by 256 so that none borrows from its neighbour: red from bit 48, green from
// bit 32 with its fraction below, blue from bit 0.
type colourTable struct {
	cb, cr [256]uint64
	clip   [1024]uint8
}

func newColourTable() *colourTable {
	t := new(colourTable)
	const round, bias = 1 << 15, 256
	for i := range t.cb {
		v := int64(i) - 128
		t.cb[i] = uint64((-22554*v+round+bias<<16)<<16 + (116130*v+round)>>16 + bias)
		t.cr[i] = uint64(((91881*v+round)>>16+bias)<<48 + (-46802*v)<<16)
	}
	for i := range t.clip {
		t.clip[i] = uint8(min(max(i-bias, 0), 255))
	}
	return t
}

func (t *colourTable) convert(dst, luma, cb, cr []uint8) {
	cb, cr, dst = cb[:len(luma)], cr[:len(luma)], dst[:3*len(luma)]
	for x, y := range luma {
		s := uint64(y)*0x0001000100000001 + t.cb[cb[x]] + t.cr[cr[x]]
		d := dst[3*x : 3*x+3 : 3*x+3]
		d[0], d[1], d[2] = t.clip[s>>48&1023], t.clip[s>>32&1023], t.clip[s&1023]
	}
}
