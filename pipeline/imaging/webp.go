package imaging

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// webpHeader locates the first image of a WebP file, in the file and on the canvas.
type webpHeader struct {
	start, end int64
	alpha      [2]int64 // start and end of a lossy image's alpha
	lossless   bool
	x, y, w, h int
}

// webpHeader walks the chunks until it has seen the image and, if the file announces one, the EXIF
// block, which comes last. The canvas must be the first chunk: images are checked against it, and
// the limits against both.
func (f *file) webpHeader(h *header) error {
	riff, err := f.number(4, 4, binary.LittleEndian)
	if err != nil {
		return err
	}
	end := 8 + riff
	if end > f.size {
		return errors.New("WebP file is truncated")
	}
	exif := false
	for at := int64(12); at+8 <= end; {
		b, err := f.bytes(at, 8)
		if err != nil {
			return err
		}
		name, n := fourCC(b), int64(binary.LittleEndian.Uint32(b[4:]))
		body := at + 8
		if body+n > end {
			return errors.New("WebP file has a chunk that extends beyond its end")
		}
		switch name {
		case "VP8X":
			if at != 12 {
				return errors.New("WebP file has its canvas (VP8X) chunk somewhere other than at the start")
			}
			exif, err = f.webpCanvas(h, body, n)
		case "ALPH":
			if h.webp.end == 0 {
				h.webp.alpha = [2]int64{body, body + n}
			}
		case "VP8 ", "VP8L":
			if h.webp.end == 0 {
				err = f.webpPicture(h, name, body, n)
			}
		case "ANMF":
			if h.webp.end == 0 {
				err = f.webpFrame(h, body, n)
			}
		case "EXIF":
			f.webpExif(h, body, n)
			exif = false
		}
		if err != nil {
			return err
		}
		if h.webp.end != 0 && !exif {
			break
		}
		at = body + n + n&1
	}
	if h.webp.end == 0 {
		return errors.New("WebP file contains no image")
	}
	return nil
}

// fourCC returns a chunk's name without allocating.
func fourCC(b []byte) string {
	for _, name := range [...]string{"VP8X", "VP8 ", "VP8L", "ALPH", "ANMF", "EXIF"} {
		if string(b[:4]) == name {
			return name
		}
	}
	return ""
}

// webpCanvas reads the extended header; exif reports whether an EXIF block follows.
func (f *file) webpCanvas(h *header, body, n int64) (exif bool, err error) {
	if n < 10 {
		return false, errHeaderCut
	}
	b, err := f.bytes(body, 10)
	if err != nil {
		return false, err
	}
	h.W, h.H = uint24(b[4:])+1, uint24(b[7:])+1
	return b[0]&8 != 0, nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webpFrame parses the first frame of an animation: its position, then its image.
func (f *file) webpFrame(h *header, body, n int64) error {
	if n < 24 {
		return errHeaderCut
	}
	b, err := f.bytes(body, 16)
	if err != nil {
		return err
	}
	h.webp.x, h.webp.y = 2*uint24(b), 2*uint24(b[3:])
	for at := body + 16; at+8 <= body+n; {
		b, err := f.bytes(at, 8)
		if err != nil {
			return err
		}
		name, size := fourCC(b), int64(binary.LittleEndian.Uint32(b[4:]))
		if at+8+size > body+n {
			return errors.New("WebP file has a chunk that extends beyond its frame")
		}
		switch name {
		case "ALPH":
			h.webp.alpha = [2]int64{at + 8, at + 8 + size}
		case "VP8 ", "VP8L":
			return f.webpPicture(h, name, at+8, size)
		}
		at += 8 + size + size&1
	}
	return errors.New("WebP file has a frame without an image")
}

// webpPicture parses the header of the image itself.
func (f *file) webpPicture(h *header, name string, body, n int64) error {
	w := &h.webp
	w.start, w.end, w.lossless = body, body+n, name == "VP8L"
	need := 10
	if w.lossless {
		need = 5
	}
	if n < int64(need) {
		return errHeaderCut
	}
	b, err := f.bytes(body, need)
	if err != nil {
		return err
	}
	switch {
	case w.lossless && b[0] == 0x2f:
		v := int(binary.LittleEndian.Uint32(b[1:]))
		w.w, w.h = v&0x3fff+1, v>>14&0x3fff+1
	case !w.lossless && b[3] == 0x9d && b[4] == 0x01 && b[5] == 0x2a:
		w.w, w.h = int(binary.LittleEndian.Uint16(b[6:]))&0x3fff, int(binary.LittleEndian.Uint16(b[8:]))&0x3fff
	default:
		return errors.New("WebP file has an image without its signature")
	}
	if h.W == 0 {
		h.W, h.H = w.w, w.h
	}
	if w.x+w.w > h.W || w.y+w.h > h.H {
		return fmt.Errorf("WebP frame of %dx%d pixels does not fit its canvas of %dx%d", w.w, w.h, h.W, h.H)
	}
	return nil
}

// webpExif reads the orientation; some writers put JPEG's prefix before the block.
func (f *file) webpExif(h *header, body, n int64) {
	start := body
	if n > 6 && f.starts(body, "Exif\x00\x00") {
		start += 6
	}
	f.orientation(h, start, body+n)
}
