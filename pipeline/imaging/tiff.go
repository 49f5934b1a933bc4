package imaging

import (
	"bytes"
	"errors"

	"golang.org/x/image/tiff"
)

// tiffHeader reads the first directory of a TIFF file.
func (f *file) tiffHeader(h *header) error {
	d, err := f.directory(0, f.size)
	if err != nil {
		return err
	}
	if d.w < 1 || d.h < 1 {
		return errors.New("TIFF file does not tell its size")
	}
	h.W, h.H = int(d.w), int(d.h)
	if 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
	return nil
}

func (m *RGB) tiff(data []byte) error {
	im, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return m.fill(im)
}
