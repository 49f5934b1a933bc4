package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// jpegHeader is the part of a JPEG's header that determines its colours.
type jpegHeader struct {
	components               int
	ids                      [4]uint8 // identifiers of the components
	sampling                 [4]uint8 // horizontal factor in the upper four bits, vertical in the lower
	frame                    int64    // offset of the frame header's marker
	jfif, adobe, progressive bool
	transform                uint8 // of the Adobe marker
}

// JPEG markers, the byte after 0xff.
const (
	markSOF0 = 0xc0
	markSOF2 = 0xc2
	markDHT  = 0xc4
	markJPG  = 0xc8
	markDAC  = 0xcc
	markSOF  = 0xcf
	markRST0 = 0xd0
	markRST7 = 0xd7
	markSOI  = 0xd8
	markEOI  = 0xd9
	markSOS  = 0xda
	markAPP0 = 0xe0
	markAPP1 = 0xe1
	markAdob = 0xee
)

// jpegHeader walks the markers up to the first scan.
func (f *file) jpegHeader(h *header) error {
	exif := false
	for at := int64(2); ; {
		mark, next, err := f.marker(at)
		if err != nil {
			return err
		}
		at = next
		if mark == 1 || markRST0 <= mark && mark <= markRST7 {
			continue // it has no length
		}
		if mark == markSOI || mark == markEOI {
			return errors.New("JPEG file contains no image")
		}
		n, err := f.number(at, 2, binary.BigEndian)
		if err != nil {
			return err
		}
		if n < 2 {
			return fmt.Errorf("JPEG marker %#x has a length of %d", mark, n)
		}
		body, end := at+2, at+n
		switch {
		case mark == markSOS && h.jpeg.components == 0:
			return errors.New("JPEG file has pixels before its frame header")
		case mark == markSOS:
			return nil
		case markSOF0 <= mark && mark <= markSOF && mark != markDHT && mark != markJPG && mark != markDAC:
			h.jpeg.frame = at - 2
			err = f.frame(h, mark, body, end)
		case mark == markAPP0:
			h.jpeg.jfif = h.jpeg.jfif || end-body >= 14 && f.starts(body, "JFIF\x00")
		case mark == markAPP1 && !exif && end-body > 6 && f.starts(body, "Exif\x00"):
			exif = true
			f.orientation(h, body+6, end)
		case mark == markAdob && end-body >= 12 && f.starts(body, "Adobe"):
			h.jpeg.adobe = true
			v, e := f.number(body+11, 1, binary.BigEndian)
			h.jpeg.transform, err = uint8(v), e
		}
		if err != nil {
			return err
		}
		at = end
	}
}

// marker finds the next marker at or after at, and returns its end. Stray bytes are skipped, as by
// libjpeg, but only a limited number.
func (f *file) marker(at int64) (mark uint8, end int64, err error) {
	const patience = 1 << 16
	seen := false // the byte before is 0xff
	for i := range int64(patience) {
		b, err := f.bytes(at+i, 1)
		if err != nil {
			return 0, 0, err
		}
		if seen && b[0] != 0 && b[0] != 0xff {
			return b[0], at + i + 1, nil
		}
		seen = b[0] == 0xff
	}
	return 0, 0, errors.New("JPEG file has no marker where one should be")
}

// starts reports whether text is at off.
func (f *file) starts(off int64, text string) bool {
	b, err := f.bytes(off, len(text))
	return err == nil && string(b) == text
}

// frame parses the frame header between body and end.
func (f *file) frame(h *header, mark uint8, body, end int64) error {
	if h.jpeg.components != 0 {
		return errors.New("JPEG file has two frame headers")
	}
	if mark > markSOF2 {
		return fmt.Errorf("JPEG type SOF%d is not supported", mark-markSOF0)
	}
	b, err := f.bytes(body, 6)
	if err != nil {
		return err
	}
	bits, n := b[0], int(b[5])
	h.H, h.W = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	if bits != 8 {
		return fmt.Errorf("JPEG with %d bits per sample is not supported", bits)
	}
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("JPEG with %d components is not supported", n)
	}
	if end-body != int64(6+3*n) {
		return errors.New("JPEG frame header has a wrong length")
	}
	if b, err = f.bytes(body+6, 3*n); err != nil {
		return err
	}
	for i := range n {
		h.jpeg.ids[i], h.jpeg.sampling[i] = b[3*i], b[3*i+1]
	}
	h.jpeg.components, h.jpeg.progressive = n, mark == markSOF2
	return h.jpeg.sampled()
}

// sampled checks that image/jpeg supports the sampling factors: builds with and without
// libjpeg-turbo must accept the same files.
func (j *jpegHeader) sampled() error {
	whole := func(i int) bool { // component 0 has an integer multiple of component i's samples
		h, v := j.sampling[i]>>4, j.sampling[i]&15
		return (h == 1 || h == 2 || h == 4) && (v == 1 || v == 2 || v == 4) &&
			j.sampling[0]>>4%h == 0 && j.sampling[0]&15%v == 0
	}
	s := j.sampling
	good := whole(0)
	switch j.components {
	case 3:
		good = good && s[0]&15 != 4 && whole(1) && s[1] == s[2]
	case 4:
		good = (s[0] == 0x11 || s[0] == 0x22) && s[1] == 0x11 && s[2] == 0x11 && s[3] == s[0]
	}
	if !good {
		return fmt.Errorf("JPEG with sampling factors % x is not supported", bytes.Clone(s[:j.components]))
	}
	return nil
}

// colours returns the colour space of the components by libjpeg's rules.
func (j *jpegHeader) colours() string {
	switch {
	case j.components == 1:
		return "grey"
	case j.components == 4 && (!j.adobe || j.transform == 0):
		return "cmyk"
	case j.components == 4:
		return "ycck"
	case !j.jfif && j.adobe && j.transform == 0, !j.jfif && !j.adobe && string(j.ids[:3]) == "RGB":
		return "rgb"
	default:
		return "ycc"
	}
}
