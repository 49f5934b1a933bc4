package imaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"strings"

	"golang.org/x/image/tiff"
)

// tiffHeader describes the pixels of a TIFF file, with 0 for missing fields; of per-sample fields
// it holds the value of the first sample.
type tiffHeader struct {
	bits, samples, format, extra     int64
	photometric, compression, planar int64

	depths    int64 // the number of samples with a bit depth
	explained bool  // the type of the extra samples is given

	order   binary.ByteOrder
	entries [2]int64 // offset and number of the directory's entries
}

// Photometric interpretations.
const (
	whiteIsZero = 0
	blackIsZero = 1
	rgb         = 2
	paletted    = 3
)

// Types of an extra sample: alpha that colours are, or are not, premultiplied by.
const associated, unassociated = 1, 2

// tiffHeader reads the first directory of a TIFF file.
func (f *file) tiffHeader(h *header) error {
	d, err := f.directory(0, f.size)
	if err != nil {
		return err
	}
	if d.w < 1 || d.h < 1 {
		return errors.New("TIFF file does not state its size")
	}
	if d.samples == 0 && d.photometric == rgb { // the count is missing; its default of 1 is wrong
		d.samples = d.depths
	}
	h.W, h.H, h.Deep, h.tiff = int(d.w), int(d.h), d.bits > 8, d.tiffHeader
	if 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
	return nil
}

// fax reports whether the file uses fax compression, CCITT Group 3 or 4.
func (t *tiffHeader) fax() bool { return t.compression == 3 || t.compression == 4 }

var tiffColours = map[int64]string{4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a colour filter array", 34892: "raw linear colours"}

var tiffCompressions = map[int64]string{2: "CCITT run lengths", 6: "old-style JPEG", 7: "JPEG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}

// named returns the name of a number, or else the number itself.
func named(names map[int64]string, n int64) string {
	if name := names[n]; name != "" {
		return name
	}
	return fmt.Sprintf("kind %d", n)
}

// readable reports an unsupported feature of the file, and what is supported instead.
func (t *tiffHeader) readable() error {
	bands := max(1, t.samples)
	switch {
	case t.photometric > paletted:
		return fmt.Errorf("TIFF file has %s: want grey, RGB or a palette", named(tiffColours, t.photometric))
	case t.format == 2:
		return errors.New("TIFF file has signed samples: want unsigned ones of 8 or 16 bits")
	case t.format == 3:
		return errors.New("TIFF file has floating-point samples: want unsigned integers of 8 or 16 bits")
	case t.format > 3:
		return fmt.Errorf("TIFF file has sample format %d: want unsigned integers of 8 or 16 bits", t.format)
	case t.bits > 1 && t.bits != 8 && t.bits != 16:
		return fmt.Errorf("TIFF file has %d bits per channel: want 8 or 16, or 1 for black and white", t.bits)
	case t.photometric == rgb && bands < 3, t.photometric == rgb && bands > 4 && t.planar != 2:
		return fmt.Errorf("TIFF file has %d bands of RGB: want 3, or 4 of which the last is alpha", bands)
	case t.photometric == blackIsZero && bands == 2, t.photometric == whiteIsZero && bands == 2:
		return errors.New("TIFF file has 2 bands, grey and another: want 1, or 3 of RGB")
	case t.photometric != rgb && bands > 1:
		return fmt.Errorf("TIFF file has %d bands that are not marked as colours: want 1 of grey, or 3 of RGB (photometric interpretation 2)", bands)
	}
	if c := t.compression; c > 1 && c != 3 && c != 4 && c != 5 && c != 8 && c != 32773 && c != 32946 {
		return fmt.Errorf("TIFF file is compressed with %s: want LZW, Deflate, PackBits, CCITT Group 3 or 4, or no compression", named(tiffCompressions, c))
	}
	return nil
}

// alpha reports whether the fourth sample of RGB is alpha, which is also assumed if its type is
// missing, as by Pillow.
func (t *tiffHeader) alpha() bool {
	return t.samples == 4 && (t.extra == associated || t.extra == unassociated || !t.explained)
}

// tiff decodes the first page. Levels apply to the values as stored, even if white is zero.
func (d *Decoder) tiff(m *RGB, data []byte, h *header) error {
	im, err := h.tiff.decode(data)
	if err != nil {
		return err
	}
	if h.tiff.fax() && h.tiff.photometric == blackIsZero {
		// In faxes 0 bits are white, so x/image/tiff decodes them as white even if the file says
		// that 0 is black.
		bits, ok := im.(*image.Gray)
		if !ok {
			return fmt.Errorf("TIFF decoder gave a %T of a fax", im)
		}
		invert(bits.Pix)
	}
	p, ok := deepOf(im)
	inverted := ok && p.colours == 1 && h.tiff.photometric == whiteIsZero
	if inverted {
		invert(p.pix)
	}
	if err := d.fill(m, im); err != nil || !inverted {
		return err
	}
	invert(m.Pix)
	return nil
}

// decode is x/image/tiff's Decode, extended to some files that it cannot read as they are.
func (t *tiffHeader) decode(data []byte) (im image.Image, err error) {
	if err := t.readable(); err != nil {
		return nil, err
	}
	switch {
	case t.planar == 2 && t.samples > 1:
		im, err = t.planes(data)
	case t.photometric == rgb && t.samples == 4 && t.extra != associated && t.extra != unassociated:
		// The fourth sample is read as alpha, and dropped afterwards if it is anything else.
		if im, err = tiff.Decode(t.revised(data, toExtra, t.alphaEntry()...)); err == nil && !t.alpha() {
			opaque(im)
		}
	default:
		im, err = tiff.Decode(t.revised(data, nil))
	}
	if err == nil || strings.HasPrefix(err.Error(), "TIFF") {
		return im, err
	}
	return nil, fmt.Errorf("TIFF file is damaged or of an unsupported type: %w", err)
}

// opaque drops the alpha of an image whose colours are not premultiplied.
func opaque(im image.Image) {
	switch im := im.(type) {
	case *image.NRGBA:
		for i := 3; i < len(im.Pix); i += 4 {
			im.Pix[i] = 0xff
		}
	case *image.NRGBA64:
		for i := 6; i < len(im.Pix); i += 8 {
			im.Pix[i], im.Pix[i+1] = 0xff, 0xff
		}
	}
}

// invert swaps black and white.
func invert(pix []uint8) {
	for i := range pix {
		pix[i] ^= 0xff
	}
}
