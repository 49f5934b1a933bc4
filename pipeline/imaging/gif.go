package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
)

// gifHeader describes the first frame of a GIF beyond its pixels.
type gifHeader struct {
	colours     [2]int64 // start and end of the colour table
	transparent uint8    // index of the transparent colour; 0 if there is none
	clear       bool     // there is a transparent colour
}

// gifHeader walks the blocks up to the first frame.
func (f *file) gifHeader(h *header) error {
	b, err := f.bytes(6, 7)
	if err != nil {
		return err
	}
	h.W, h.H = int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
	at := int64(13)
	at = h.gif.table(at, b[4])
	for {
		kind, err := f.bytes(at, 1)
		if err != nil {
			return err
		}
		switch kind[0] {
		case '!':
			if at, err = f.gifExtension(h, at+1); err != nil {
				return err
			}
		case ',':
			b, err := f.bytes(at+1, 9)
			if err == nil {
				h.gif.table(at+10, b[8])
			}
			return err
		case ';':
			return errors.New("GIF file contains no image")
		default:
			return fmt.Errorf("GIF file has a block of unknown kind %#x", kind[0])
		}
	}
}

// table records the colour table at at if the flags announce one, and returns its end.
func (g *gifHeader) table(at int64, flags uint8) int64 {
	if flags&0x80 == 0 {
		return at
	}
	g.colours = [2]int64{at, at + 3<<(1+flags&7)}
	return g.colours[1]
}

// gifExtension reads the extension whose label is at at and returns its end.
func (f *file) gifExtension(h *header, at int64) (int64, error) {
	label, err := f.number(at, 1, binary.LittleEndian)
	if err != nil {
		return 0, err
	}
	for at++; ; {
		n, err := f.number(at, 1, binary.LittleEndian)
		if err != nil || n == 0 {
			return at + 1, err
		}
		if label == 0xf9 && n == 4 {
			b, err := f.bytes(at+1, 4)
			if err != nil {
				return 0, err
			}
			if b[0]&1 != 0 {
				h.gif.transparent, h.gif.clear = b[3], true
			}
		}
		at += 1 + n
	}
}

// gif decodes the first frame. Parts of the screen that the frame does not cover get the
// transparent colour if there is one, else the first; Pillow drops the transparency but keeps the
// colour, which image/gif discards. A background replaces both.
func (d *Decoder) gif(m *RGB, data []byte, h *header) error {
	im, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	frame, ok := im.(*image.Paletted)
	if !ok {
		return fmt.Errorf("GIF decoder gave a %T", im)
	}
	var table [256][3]uint8
	colours := data[h.gif.colours[0]:h.gif.colours[1]]
	for i := range len(colours) / 3 {
		table[i] = [3]uint8(colours[3*i:])
	}
	rest := table[h.gif.transparent]
	if back := d.Conversion.Background; back.Set {
		rest = [3]uint8{back.R, back.G, back.B}
		if h.gif.clear {
			table[h.gif.transparent] = rest
		}
	}
	for i := 0; i < len(m.Pix); i += 3 {
		copy(m.Pix[i:i+3], rest[:])
	}
	b := frame.Rect
	if d.Facts != nil {
		d.Facts.Transparent = b.Dx() < m.W || b.Dy() < m.H || h.gif.clear && bytes.IndexByte(frame.Pix, h.gif.transparent) >= 0
	}
	if !b.In(image.Rect(0, 0, m.W, m.H)) {
		return errors.New("GIF frame lies outside its screen")
	}
	for y := range b.Dy() {
		dst := m.Pix[3*((b.Min.Y+y)*m.W+b.Min.X):]
		for x, i := range frame.Pix[y*frame.Stride:][:b.Dx()] {
			copy(dst[3*x:3*x+3], table[i][:])
		}
	}
	return nil
}
