package imaging

import (
	"fmt"
	"image"
	"image/color"
)

// palette looks up each pixel; the alpha of an entry is dropped, not applied.
func palette(dst, src []uint8, entries color.Palette) error {
	var table [256][3]uint8
	for i, c := range entries[:min(len(entries), 256)] {
		n, ok := c.(color.NRGBA)
		if !ok {
			n = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		table[i] = [3]uint8{n.R, n.G, n.B}
	}
	for i := range len(dst) / 3 {
		if int(src[i]) >= len(entries) {
			return fmt.Errorf("palette has %d entries, a pixel asks for %d", len(entries), src[i])
		}
		copy(dst[3*i:3*i+3], table[src[i]][:])
	}
	return nil
}

// fillYCbCr converts a JPEG's planes as libjpeg does by default: chroma that was
// halved is brought back by a triangle filter, other ratios by repetition.
func (m *RGB) fillYCbCr(im *image.YCbCr) {
	var up upsampler
	switch im.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
		up = upsampler{h: 1, v: 1}
	case image.YCbCrSubsampleRatio422:
		up = upsampler{h: 2, v: 1}
	case image.YCbCrSubsampleRatio420:
		up = upsampler{h: 2, v: 2}
	case image.YCbCrSubsampleRatio440:
		up = upsampler{h: 1, v: 2}
	case image.YCbCrSubsampleRatio411:
		up = upsampler{h: 4, v: 1}
	case image.YCbCrSubsampleRatio410:
		up = upsampler{h: 4, v: 2}
	}
	up.w, up.rows, up.stride = (m.W+up.h-1)/up.h, (m.H+up.v-1)/up.v, im.CStride
	up.sum = make([]int32, up.w)
	line := make([]uint8, 2*up.w*up.h)
	cb, cr := line[:up.w*up.h], line[up.w*up.h:]
	for y := range m.H {
		up.row(cb, im.Cb, y)
		up.row(cr, im.Cr, y)
		toRGB(m.Pix[3*m.W*y:3*m.W*(y+1)], im.Y[y*im.YStride:], cb, cr)
	}
}

// upsampler widens one chroma plane by h and v.
type upsampler struct {
	h, v            int
	w, rows, stride int
	sum             []int32
}

// row writes line y of the full-size plane. The added constants alternate so that
// rounding favours neither side, and are libjpeg's.
func (u *upsampler) row(dst, plane []uint8, y int) {
	at := func(r int) []uint8 {
		r = min(max(r, 0), u.rows-1)
		return plane[r*u.stride : r*u.stride+u.w]
	}
	near, far := at(y/u.v), at(y/u.v-1+2*(y%u.v))
	switch {
	case u.h == 1 && u.v == 1:
		copy(dst, near)
	case u.h == 1:
		for x, v := range near {
			dst[x] = uint8((3*int32(v) + int32(far[x]) + 1 + int32(y&1)) >> 2)
		}
	case u.h == 2 && u.w > 2 && u.v == 1:
		for x, v := range near {
			u.sum[x] = int32(v)
		}
		u.double(dst, 2, 1, 2)
	case u.h == 2 && u.w > 2:
		for x, v := range near {
			u.sum[x] = 3*int32(v) + int32(far[x])
		}
		u.double(dst, 4, 8, 7)
	default:
		for x := range dst {
			dst[x] = near[x/u.h]
		}
	}
}

// double gives each sum two outputs, each three quarters its own and one quarter
// its neighbour's.
func (u *upsampler) double(dst []uint8, shift, left, right int32) {
	last := u.sum[0]
	for x, v := range u.sum {
		next := u.sum[min(x+1, len(u.sum)-1)]
		dst[2*x] = uint8((3*v + last + left) >> shift)
		dst[2*x+1] = uint8((3*v + next + right) >> shift)
		last = v
	}
}

// toRGB is the JFIF conversion in libjpeg's 16-bit fixed point.
func toRGB(dst, luma, cb, cr []uint8) {
	const round = 1 << 15
	for x := range len(dst) / 3 {
		y, b, r := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
		d := dst[3*x : 3*x+3]
		d[0] = clip(y + (91881*r+round)>>16)
		d[1] = clip(y + (-22554*b-46802*r+round)>>16)
		d[2] = clip(y + (116130*b+round)>>16)
	}
}
