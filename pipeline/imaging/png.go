package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/png"
)

// pngHeader reads the size, and the EXIF block if it precedes the pixels.
func (f *file) pngHeader(h *header) error {
	b, err := f.bytes(8, 16)
	if err != nil {
		return err
	}
	if string(b[4:8]) != "IHDR" {
		return errors.New("PNG file does not begin with its header")
	}
	w, hh := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if w > 1<<31-1 || hh > 1<<31-1 {
		return errors.New("PNG header has sizes over 31 bits")
	}
	h.W, h.H = int(w), int(hh)
	depth, err := f.number(24, 1, binary.BigEndian)
	if err != nil {
		return err
	}
	h.Deep = depth > 8
	for at := int64(8); ; {
		b, err := f.bytes(at, 8)
		if err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint32(b))
		switch string(b[4:]) {
		case "IDAT", "IEND":
			return nil
		case "eXIf":
			f.orientation(h, at+8, at+8+n)
			return nil
		}
		at += 12 + n
	}
}

func (d *Decoder) png(m *RGB, data []byte) error {
	im, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return d.fill(m, im)
}
