package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
)

// Limits bound what Decode accepts, checked before any pixel is decoded. A zero
// field stands for its default.
type Limits struct {
	Side   int // longest side in pixels, 16384
	Pixels int // width times height, 50,000,000
}

func (l Limits) check(w, h int) error {
	if l.Side == 0 {
		l.Side = 16384
	}
	if l.Pixels == 0 {
		l.Pixels = 50_000_000
	}
	if w < 1 || h < 1 {
		return fmt.Errorf("picture of %dx%d pixels is empty", w, h)
	}
	if w > l.Side || h > l.Side || w > l.Pixels/h {
		return fmt.Errorf("picture of %dx%d pixels is over the limit of %d a side and %d in all", w, h, l.Side, l.Pixels)
	}
	return nil
}

// Decode reads a JPEG or PNG file and converts it to RGB as Pillow's
// convert("RGB") does: grey and palette are expanded, alpha is dropped without
// blending, CMYK is multiplied out. JPEG pixels are within 3/255 of libjpeg's.
// One deliberate difference: of 16-bit grey the high byte is kept, as for 16-bit
// colour, where Pillow cuts everything above 255 to white.
//
// Truncated or broken files, files over the limits and other formats are
// errors; no input makes it panic.
func Decode(data []byte, lim Limits) (m *RGB, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("decoder failed: %v", r)
		}
	}()
	config, decode := jpeg.DecodeConfig, jpeg.Decode
	switch {
	case len(data) == 0:
		return nil, errors.New("file is empty")
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		config, decode = png.DecodeConfig, png.Decode
	default:
		return nil, errors.New("neither a JPEG nor a PNG file")
	}
	c, err := config(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if err := lim.check(c.Width, c.Height); err != nil {
		return nil, err
	}
	im, err := decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	b := im.Bounds()
	m = NewRGB(b.Dx(), b.Dy())
	return m, m.fill(im)
}

// fill converts im, which has the size of m. The decoders of the standard library
// give no type that is missing here.
func (m *RGB) fill(im image.Image) error {
	b := im.Bounds()
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
