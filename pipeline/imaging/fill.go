package imaging

import (
	"fmt"
	"image"
	"image/color"
)

// sized checks that the decoded size is the one announced by the header, which the buffer and the
// limits are based on.
func (m *RGB) sized(im image.Image) error {
	if b := im.Bounds(); b.Dx() != m.W || b.Dy() != m.H {
		return fmt.Errorf("header says %dx%d pixels, but the image has %dx%d", m.W, m.H, b.Dx(), b.Dy())
	}
	return nil
}

// fill converts im, which must have m's size. It covers all image types that the standard library's
// decoders return.
func (d *Decoder) fill(m *RGB, im image.Image) error {
	b := im.Bounds()
	if err := m.sized(im); err != nil {
		return err
	}
	if p, ok := deepOf(im); ok {
		d.deep(m, &p)
		return nil
	}
	for y := range m.H {
		dst := m.Pix[3*m.W*y : 3*m.W*(y+1)]
		switch im := im.(type) {
		case *image.Gray:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 1, 0, 0)
		case *image.RGBA:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1, 2)
			divide(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):])
			d.lay(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y)+3:], 4)
		case *image.NRGBA:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1, 2)
			d.lay(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y)+3:], 4)
		case *image.CMYK:
			inks(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.Paletted:
			if err := d.palette(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], im.Palette); err != nil {
				return err
			}
		default:
			return fmt.Errorf("images of type %T are not supported", im)
		}
	}
	return nil
}

// spread copies red, green and blue from offsets 0, g and b of every step bytes.
func spread(dst, src []uint8, step, g, b int) {
	for i := 0; i+2 < len(dst); i += 3 {
		dst[i], dst[i+1], dst[i+2] = src[0], src[g], src[b]
		src = src[min(step, len(src)):]
	}
}

// divide undoes the premultiplication of dst by the alpha in the fourth byte of each pixel of src.
func divide(dst, src []uint8) {
	for i := range len(dst) / 3 {
		a := int(src[4*i+3])
		if a == 255 {
			continue
		}
		for c := range 3 {
			dst[3*i+c] = uint8(min(int(dst[3*i+c])*255/max(a, 1), 255))
		}
	}
}

// inks converts CMYK to RGB.
func inks(dst, src []uint8) {
	for i := range len(dst) / 3 {
		copy(dst[3*i:3*i+3], src[4*i:])
	}
	blacken(dst, src)
}

// blacken treats dst as the light that cyan, magenta and yellow leave, and multiplies it by what
// black, the fourth byte of each pixel of inks, leaves.
func blacken(dst, inks []uint8) {
	for i := range len(dst) / 3 {
		left := 255 - uint32(inks[4*i+3])
		for c := range 3 {
			v := uint32(dst[3*i+c])*left + 128
			dst[3*i+c] = uint8(left - (v>>8+v)>>8)
		}
	}
}

// palette looks up each pixel's colour.
func (d *Decoder) palette(dst, src []uint8, entries color.Palette) error {
	var table [256][4]uint8
	for i, c := range entries[:min(len(entries), 256)] {
		n, ok := c.(color.NRGBA)
		if !ok {
			n = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		table[i] = [4]uint8{n.R, n.G, n.B, n.A}
		if d.Conversion.Background.Set {
			d.Conversion.Background.over(table[i][:3], n.A)
		}
	}
	for i := range len(dst) / 3 {
		if int(src[i]) >= len(entries) {
			return fmt.Errorf("palette has %d entries, but a pixel refers to entry %d", len(entries), src[i])
		}
		copy(dst[3*i:3*i+3], table[src[i]][:3])
		if d.Facts != nil && table[src[i]][3] != 255 {
			d.Facts.Transparent = true
		}
	}
	return nil
}
