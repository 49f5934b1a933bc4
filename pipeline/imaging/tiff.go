package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/tiff"
)

// tiffHeader is what a TIFF file says of its pixels.
type tiffHeader struct{ bits, photometric, compression int64 }

// Photometric interpretations.
const (
	whiteIsZero = 0
	blackIsZero = 1
)

// fax says that the file is compressed as faxes are, with CCITT Group 3 or 4.
func (t *tiffHeader) fax() bool { return t.compression == 3 || t.compression == 4 }

// tiffHeader reads the first directory of a TIFF file.
func (f *file) tiffHeader(h *header) error {
	d, err := f.directory(0, f.size)
	if err != nil {
		return err
	}
	if d.w < 1 || d.h < 1 {
		return errors.New("TIFF file does not tell its size")
	}
	h.W, h.H, h.Deep, h.tiff = int(d.w), int(d.h), d.bits > 8, d.tiffHeader
	if 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
	return nil
}

// tiff decodes the first page. Levels hold for values as they are stored, also where
// white is zero.
func (d *Decoder) tiff(m *RGB, data []byte, h *header) error {
	im, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if h.tiff.fax() && h.tiff.photometric == blackIsZero {
		// A fax is white where its bits are 0, which x/image/tiff decodes to white also
		// where the file says that 0 is black.
		bits, ok := im.(*image.Gray)
		if !ok {
			return fmt.Errorf("TIFF decoder gave a %T of a fax", im)
		}
		for i := range bits.Pix {
			bits.Pix[i] ^= 0xff
		}
	}
	p, ok := deepOf(im)
	inverted := ok && p.colours == 1 && h.tiff.photometric == whiteIsZero
	if inverted {
		p.invert()
	}
	if err := d.fill(m, im); err != nil || !inverted {
		return err
	}
	for i := range m.Pix {
		m.Pix[i] ^= 0xff
	}
	return nil
}
