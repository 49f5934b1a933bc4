package imaging

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// jpeg decodes with libjpeg-turbo if that is built in and reports success, else with image/jpeg.
// The latter also decides on a file about which the former warns, so that both builds reject the
// same files.
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
		return io.ErrUnexpectedEOF // the actual cause
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

// scans rejects progressive images with excessively many scans: a scan of a few bytes takes as long
// as any other. Encoders write about ten; a large image may have 30, a small one 500.
func (h *header) scans(data []byte) error {
	const few, most, pixels = 30, 500, 1_000_000_000 // pixels bounds the sum over all scans
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

// turboResult is the outcome of decoding with libjpeg-turbo.
type turboResult int

const (
	turboFailed turboResult = iota // no pixels
	turboUnsure                    // pixels, with a warning that may be harmless
	turboSure                      // pixels
)

// uncoloured returns the file with a marker inserted before the frame header that makes image/jpeg
// return the components as stored: its own conversion would replicate chroma instead of
// interpolating it, and refuses four components without a declared colour space.
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

// split extracts planes of the first three of four components. image/jpeg inverts all four, which
// is undone here, and has replicated the samples of subsampled second and third components.
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
