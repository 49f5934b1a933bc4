package imaging

import (
	"errors"
	"fmt"
	"io"
)

// Limits bounds what a decoder accepts; they are checked in every format before any pixel is
// decoded. A zero field means its default. Decoding takes up to 21 bytes of memory per pixel, 33
// for CMYK in a progressive JPEG, and for a lossless WebP up to another 140 MB, depending on the
// number of tables in the file.
type Limits struct {
	Side   int // longest side in pixels; default 16384
	Pixels int // width times height; default 50,000,000
	// TIFF accepts TIFF files. Only for trusted local files, not for a server: the format has too
	// many corner cases for untrusted input.
	TIFF bool
}

// Check reports why Decode would refuse an image with this header, before any of it is decoded.
func (l Limits) Check(i Info) error {
	if i.Format == "tiff" && !l.TIFF {
		return errors.New("TIFF is accepted only as local files and training data: send it as PNG")
	}
	return l.check(i.W, i.H)
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
		return fmt.Errorf("picture of %dx%d pixels is over the limit of %d per side and %d in total", w, h, l.Side, l.Pixels)
	}
	return nil
}

// hold checks every buffer that decoding allocates: the image and, for a WebP file, the frame on
// its canvas. The other formats have a single size, which their decoders read from the same bytes,
// refusing a second one.
func (l Limits) hold(h *header) error {
	if err := l.Check(h.Info); err != nil || h.Format != "webp" {
		return err
	}
	return l.check(h.webp.w, h.webp.h)
}

// Decode is Decoder.Decode into a new image.
func Decode(data []byte, lim Limits) (*RGB, error) {
	var d Decoder
	defer d.Close()
	m := new(RGB)
	if err := d.Decode(m, data, lim); err != nil {
		return nil, err
	}
	return m, nil
}

// Decoder turns image files into pixels and reuses its working memory from one to the next. Its
// zero value is ready for use. It must not be copied after first use and is not safe for concurrent
// use; each worker has its own.
type Decoder struct {
	// Conversion may be changed before each image.
	Conversion Conversion
	// Facts, if set, is filled for each image, which costs another pass over some kinds.
	Facts *Facts

	src    file
	turbo  turbo
	up     upsampler
	turned RGB     // an image before its orientation is applied
	frame  RGB     // of an animation, smaller than its canvas
	planes []uint8 // the components of a CMYK image
	tones  *tones  // 320 kB, allocated on first use
}

// Close frees what the decoder holds outside Go's heap. A decoder that is not closed is freed by
// the garbage collector eventually; a closed one may be used again.
func (d *Decoder) Close() { d.turbo.close() }

// Decode reads a JPEG, PNG, WebP, GIF or TIFF file, recognised by content, into dst, whose memory
// it reuses. Of an animation it decodes the first frame. The pixels are those of Pillow's
// ImageOps.exif_transpose and convert("RGB"): turned upright by the EXIF orientation, grey and
// palette expanded, alpha dropped without blending unless Conversion.Background is set, CMYK
// multiplied out. JPEG pixels are within 3/255 of libjpeg's, and equal to them when built with the
// tag turbojpeg.
//
// Of 16 bits per channel the high byte is kept, for grey, too, where Pillow clips everything above
// 255 to white: a deliberate difference. Conversion.Levels is the alternative for values that fill
// only part of the range. Two differences are unavoidable: what image/jpeg cannot decode is
// refused. That is CMYK with subsampled black in every build and, in a build without turbojpeg, the
// rare JPEG that combines halved chroma, several scans and restart markers.
//
// Truncated or broken files, files over the limits and other formats are errors; no input makes it
// panic. Data after the first frame of a GIF or after the pixels of a TIFF is ignored. After an
// error the contents of dst are undefined.
func (d *Decoder) Decode(dst *RGB, data []byte, lim Limits) (err error) {
	defer func() {
		d.src = file{}
		if r := recover(); r != nil {
			err = fmt.Errorf("decoder failed: %v", r)
		}
	}()
	if d.Facts != nil {
		*d.Facts = Facts{}
	}
	d.src = file{data: data, size: int64(len(data))}
	h, err := d.src.header()
	if err == errUnknown && lim.TIFF {
		return errors.New("not a JPEG, PNG, WebP, GIF or TIFF file")
	}
	if err != nil {
		return err
	}
	if err := lim.hold(&h); err != nil {
		return err
	}
	upright := dst
	if h.Orientation > 1 {
		upright = &d.turned
	}
	upright.resize(h.W, h.H)
	if err := d.pixels(upright, data, &h); errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the image data is truncated: %w", err)
	} else if err != nil {
		return err
	}
	if h.Orientation > 1 {
		orient(dst, upright, h.Orientation)
	}
	return nil
}

// pixels decodes the file into m, which has the file's size.
func (d *Decoder) pixels(m *RGB, data []byte, h *header) error {
	switch h.Format {
	case "jpeg":
		return d.jpeg(m, data, h)
	case "png":
		return d.png(m, data)
	case "webp":
		return d.webp(m, data, h)
	case "gif":
		return d.gif(m, data, h)
	default:
		return d.tiff(m, data, h)
	}
}

// resize gives m a size; its pixels are undefined.
func (m *RGB) resize(w, h int) { m.Pix, m.W, m.H = grow(m.Pix, 3*w*h), w, h }
