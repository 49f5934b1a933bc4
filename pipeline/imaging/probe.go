package imaging

import (
	"bytes"
	"errors"
	"io"
)

// Info is the information in an image file's header.
type Info struct {
	Format      string // jpeg, png, webp, gif or tiff
	W, H        int    // as displayed, after applying the orientation
	Orientation int    // EXIF's 1 to 8: how to turn the stored pixels; 1 if absent
	Deep        bool   // it has more than 8 bits per channel
}

// Probe is Prober.Probe with newly allocated memory.
func Probe(r io.ReaderAt, size int64) (Info, error) {
	var p Prober
	return p.Probe(r, size)
}

// Prober reads headers and reuses its buffer from one file to the next. Its zero value is ready for
// use; it is not safe for concurrent use.
type Prober struct {
	src file
	buf [4096]byte
}

// Probe reads the header of a file of size bytes in a few pieces of at most 4 KiB and decodes
// nothing, so a file that it accepts may still be broken. It checks no limits. Errors of r are
// returned wrapped; all others describe what is wrong with the file.
func (p *Prober) Probe(r io.ReaderAt, size int64) (Info, error) {
	p.src = file{r: r, size: size, room: p.buf[:]}
	h, err := p.src.header()
	p.src = file{}
	if err != nil {
		return Info{}, err
	}
	i := h.Info
	if i.Orientation > 4 {
		i.W, i.H = i.H, i.W
	}
	return i, nil
}

// errUnknown lists the formats that are always accepted; Decode adds TIFF if that is allowed.
var errUnknown = errors.New("not a JPEG, PNG, WebP or GIF file")

// header is what is known of a file before its pixels are decoded. W and H are as stored, before
// applying the orientation.
type header struct {
	Info
	jpeg jpegHeader
	webp webpHeader
	gif  gifHeader
	tiff tiffHeader
}

// header recognises the format by content and parses its header.
func (f *file) header() (h header, err error) {
	h.Orientation = 1
	if f.size <= 0 {
		return h, errors.New("file is empty")
	}
	start, err := f.bytes(0, int(min(f.size, 12)))
	switch {
	case err != nil:
	case bytes.HasPrefix(start, []byte("\xff\xd8\xff")):
		h.Format, err = "jpeg", f.jpegHeader(&h)
	case bytes.HasPrefix(start, []byte("\x89PNG\r\n\x1a\n")):
		h.Format, err = "png", f.pngHeader(&h)
	case bytes.HasPrefix(start, []byte("GIF87a")), bytes.HasPrefix(start, []byte("GIF89a")):
		h.Format, err = "gif", f.gifHeader(&h)
	case len(start) == 12 && string(start[:4]) == "RIFF" && string(start[8:]) == "WEBP":
		h.Format, err = "webp", f.webpHeader(&h)
	case bytes.HasPrefix(start, []byte("II*\x00")), bytes.HasPrefix(start, []byte("MM\x00*")):
		h.Format, err = "tiff", f.tiffHeader(&h)
	case bytes.HasPrefix(start, []byte("II+\x00")), bytes.HasPrefix(start, []byte("MM\x00+")):
		err = errors.New("BigTIFF is not supported: convert it to PNG or to a classic TIFF, which holds up to 4 GB")
	default:
		err = errUnknown
	}
	if f.failed != nil {
		err = f.failed // also where a failed lookup is not an error
	}
	return h, err
}
