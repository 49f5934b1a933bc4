package imaging

import (
	"fmt"
	"image"
)

// fill converts im, which has the size of m. The decoders of the standard library
// give no type that is missing here.
func (m *RGB) fill(im image.Image) error {
	b := im.Bounds()
	if b.Dx() != m.W || b.Dy() != m.H {
		return fmt.Errorf("header announces %dx%d pixels, the picture has %dx%d", m.W, m.H, b.Dx(), b.Dy())
	}
	for y := range m.H {
		dst := m.Pix[3*m.W*y : 3*m.W*(y+1)]
		switch im := im.(type) {
		case *image.Gray:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 1, 0, 0)
		case *image.Gray16:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 2, 0, 0)
		case *image.RGBA:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1, 2)
		case *image.NRGBA:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 4, 1, 2)
		case *image.RGBA64:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 8, 2, 4)
		case *image.NRGBA64:
			spread(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], 8, 2, 4)
		case *image.CMYK:
			inks(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):])
		case *image.Paletted:
			if err := palette(dst, im.Pix[im.PixOffset(b.Min.X, b.Min.Y+y):], im.Palette); err != nil {
				return err
			}
		case *image.YCbCr:
			m.fillYCbCr(im)
			return nil
		default:
			return fmt.Errorf("picture of kind %T is not supported", im)
		}
	}
	return nil
}

// spread takes red, green and blue of each pixel from offsets 0, g and b of every
// step bytes.
func spread(dst, src []uint8, step, g, b int) {
	for i := 0; i+2 < len(dst); i += 3 {
		dst[i], dst[i+1], dst[i+2] = src[0], src[g], src[b]
		src = src[min(step, len(src)):]
	}
}

// inks multiplies cyan, magenta and yellow with what black leaves.
func inks(dst, src []uint8) {
	for i := range len(dst) / 3 {
		left := 255 - uint32(src[4*i+3])
		for c := range 3 {
			v := uint32(src[4*i+c])*left + 128
			dst[3*i+c] = uint8(left - (v>>8+v)>>8)
		}
	}
}
