package imaging

import (
	"errors"
	"fmt"
	"io"
)

// Limits bound what a decoder accepts; they are checked in every format before any
// pixel is decoded. A zero field stands for its default. Decoding takes up to 21 bytes
// of memory a pixel, of CMYK in a progressive JPEG 33, and of a lossless WebP up to
// 140 MB beside that, by how many tables the file has.
type Limits struct {
	Side   int // longest side in pixels, 16384
	Pixels int // width times height, 50,000,000
	// TIFF lets TIFF files in. For files of one's own only, not for a server's: the
	// format has too many corners for files from sources that are not trusted.
	TIFF bool
}

// Check reports what Decode refuses of a picture with this header, before any of it is
// decoded.
func (l Limits) Check(i Info) error {
	if i.Format == "tiff" && !l.TIFF {
		return errors.New("TIFF files are accepted as local files and training data only: send it as PNG")
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
		return fmt.Errorf("picture of %dx%d pixels is over the limit of %d a side and %d in all", w, h, l.Side, l.Pixels)
	}
	return nil
}

// hold checks all that decoding makes room for: the picture and, of a WebP file, the
// frame on its canvas. The other formats have one size, which their decoders read from
// the same bytes and refuse to be told twice.
func (l Limits) hold(h *header) error {
	if err := l.Check(h.Info); err != nil || h.Format != "webp" {
		return err
	}
	return l.check(h.webp.w, h.webp.h)
}

// Decode is Decoder.Decode into a picture of its own.
func Decode(data []byte, lim Limits) (*RGB, error) {
	var d Decoder
	defer d.Close()
	m := new(RGB)
	if err := d.Decode(m, data, lim); err != nil {
		return nil, err
	}
	return m, nil
}

// Decoder turns picture files into pixels and keeps its working memory from one to
// the next. Its zero value is ready. It must not be copied after its first use nor
// used by two goroutines at once; each worker has its own.
type Decoder struct {
	// Conversion may be set before each picture.
	Conversion Conversion
	// Facts, if it is set, is filled with those of each picture, which costs another
	// pass over some kinds.
	Facts *Facts

	src    file
	turbo  turbo
	up     upsampler
	turned RGB     // a picture before its orientation is applied
	frame  RGB     // of an animation, smaller than its canvas
	planes []uint8 // the components of a CMYK picture
	tones  *tones  // 320 kB, made when they are first needed
}

// Close frees what the decoder holds outside Go's memory. A decoder that is
// forgotten frees it too, some time later; one that is closed may be used again.
func (d *Decoder) Close() { d.turbo.close() }

// Decode reads a JPEG, PNG, WebP, GIF or TIFF file, told apart by their content,
// into dst, whose memory it reuses. Of an animation it takes the first frame. The
// pixels are those of Pillow's ImageOps.exif_transpose and convert("RGB"): turned
// upright by the EXIF orientation, grey and palette expanded, alpha dropped without
// blending unless Conversion.Background says otherwise, CMYK multiplied out. JPEG pixels are within 3/255 of libjpeg's, and
// equal to them when built with the tag turbojpeg.
//
// Of 16 bits a channel the high byte is kept, of grey, too, where Pillow cuts
// everything above 255 to white: a deliberate difference. Conversion.Levels chooses
// otherwise, for values that fill a part of the range. And two of necessity:
// what image/jpeg cannot do is refused, CMYK with black at less than full size in
// every build, and the rare JPEG that has halved chroma, several scans and restart
// markers all at once in one without turbojpeg.
//
// Truncated or broken files, files over the limits and other formats are errors; no
// input makes it panic. What lies behind the first frame of a GIF or behind the
// pixels of a TIFF is not looked at. After an error dst holds nothing of use.
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
		return errors.New("neither a JPEG nor a PNG file, nor WebP, GIF or TIFF")
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
		return fmt.Errorf("file ends before its picture does: %w", err)
	} else if err != nil {
		return err
	}
	if h.Orientation > 1 {
		orient(dst, upright, h.Orientation)
	}
	return nil
}

// pixels decodes the file into m, which has its size.
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

// resize gives m a size, its pixels undefined.
func (m *RGB) resize(w, h int) { m.Pix, m.W, m.H = grow(m.Pix, 3*w*h), w, h }
