package imaging

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// jpeg decodes with libjpeg-turbo where that is built in and sure of the file, else
// with image/jpeg, which also has the last word on a file that the other doubts, so
// that both builds find the same files broken.
func (d *Decoder) jpeg(m *RGB, data []byte, h *header) error {
	if err := h.scans(data); err != nil {
		return err
	}
	found := d.turbo.decode(m, data, h)
	if found == turboSure {
		return nil
	}
	im, err := jpeg.Decode(h.jpeg.uncoloured(data))
	if err == jpeg.FormatError("short Huffman data") {
		return io.ErrUnexpectedEOF // which is what it was
	}
	if err != nil || found == turboUnsure {
		return err
	}
	if err := m.sized(im); err != nil {
		return err
	}
	switch im := im.(type) {
	case *image.Gray:
		return d.fill(m, im)
	case *image.YCbCr:
		d.up.fill(m, im, nil, h.jpeg.colours())
		return nil
	case *image.CMYK:
		d.up.fill(m, d.split(im, h.jpeg.sampling[0] != h.jpeg.sampling[1]), im.Pix, h.jpeg.colours())
		return nil
	default:
		return fmt.Errorf("JPEG decoder gave a %T", im)
	}
}

// scans is the check that a progressive picture is not gone over without end: a scan of
// a few bytes takes as long as any. Programs write ten or so; a large picture has no
// more than 30, a small one 500.
func (h *header) scans(data []byte) error {
	const few, most, pixels = 30, 500, 1_000_000_000 // the last of all scans together
	if !h.jpeg.progressive {
		return nil
	}
	n := bytes.Count(data, []byte{0xff, markSOS})
	if n > most {
		return fmt.Errorf("JPEG file has more than %d scans", most)
	}
	if n > few && n > pixels/(h.W*h.H) {
		return fmt.Errorf("JPEG file has %d scans, too many for %dx%d pixels", n, h.W, h.H)
	}
	return nil
}

// What libjpeg-turbo made of a file.
type turboResult int

const (
	turboFailed turboResult = iota // nothing
	turboUnsure                    // the pixels, and a warning that may be harmless
	turboSure                      // the pixels
)

// uncoloured returns the file with a marker before the frame header that makes
// image/jpeg hand out the components as they are stored: its own conversion would
// repeat chroma instead of interpolating it, and refuses four components whose
// colours are not named.
func (j *jpegHeader) uncoloured(data []byte) io.Reader {
	marker := ""
	switch j.components {
	case 3:
		marker = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
	case 4:
		marker = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	}
	head, rest := bytes.NewReader(data[:j.frame]), bytes.NewReader(data[j.frame:])
	return io.MultiReader(head, bytes.NewReader([]byte(marker)), rest)
}

// split makes planes of the first three of four components. image/jpeg turns all
// four over, which is put back here, and has repeated the samples of the second and
// third where they were halved.
func (d *Decoder) split(im *image.CMYK, halved bool) *image.YCbCr {
	step, ratio := 1, image.YCbCrSubsampleRatio444
	if halved {
		step, ratio = 2, image.YCbCrSubsampleRatio420
	}
	w, h := im.Rect.Dx(), im.Rect.Dy()
	cw, ch := (w+step-1)/step, (h+step-1)/step
	d.planes = grow(d.planes, w*h+2*cw*ch)
	out := &image.YCbCr{
		Y: d.planes[:w*h], Cb: d.planes[w*h : w*h+cw*ch], Cr: d.planes[w*h+cw*ch:],
		YStride: w, CStride: cw, SubsampleRatio: ratio, Rect: im.Rect,
	}
	for y := range h {
		for x := range w {
			out.Y[y*w+x] = 255 - im.Pix[y*im.Stride+4*x]
		}
	}
	for y := range ch {
		for x := range cw {
			at := im.Pix[step*(y*im.Stride+4*x):]
			out.Cb[y*cw+x], out.Cr[y*cw+x] = 255-at[1], 255-at[2]
		}
	}
	return out
}
