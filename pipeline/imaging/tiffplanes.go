package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/tiff"
)

// Tags that locate the pixels of a TIFF file.
const (
	tagStripOffsets = 273
	tagStripCounts  = 279
	tagTileOffsets  = 324
	tagTileCounts   = 325
)

// A revision may modify the 12 bytes of a directory entry in place, and reports whether to keep it.
type revision func(entry []byte, tag uint16) (stays bool, err error)

// behind is the offset of the replacement directory: so far past the file's end that reads of
// truncated pixels fail instead of returning directory bytes.
const behind = 1 << 31

// revised returns the file with a replacement directory, to which the entries in more are appended.
// Without a revise, or from 2 GiB on, it returns the file unchanged. Errors in the directory surface
// on decoding.
func (t *tiffHeader) revised(data []byte, revise revision, more ...byte) io.Reader {
	if revise == nil || len(data) >= behind {
		return bytes.NewReader(data)
	}
	var count uint16
	entries := make([]byte, 2, 2+12*t.entries[1]+int64(len(more)))
	for i := range t.entries[1] {
		entry := [12]byte(data[t.entries[0]+12*i:])
		stays, err := revise(entry[:], t.order.Uint16(entry[:]))
		if err != nil {
			return broken{err}
		}
		if stays {
			entries = append(entries, entry[:]...)
			count++
		}
	}
	entries, count = append(entries, more...), count+uint16(len(more)/12)
	t.order.PutUint16(entries, count)
	head := [8]byte(data)
	t.order.PutUint32(head[4:], behind)
	return &patched{head: head, data: data, tail: entries}
}

// toExtra keeps the entries before the extra samples; those after it are not needed for pixels.
func toExtra(_ []byte, tag uint16) (stays bool, err error) { return tag < tagExtra, nil }

// alphaEntry returns an entry that declares the fourth sample as alpha.
func (t *tiffHeader) alphaEntry() []byte {
	entry := make([]byte, 12)
	t.order.PutUint16(entry, tagExtra)
	t.short(entry, unassociated)
	return entry
}

// short sets an entry's value to a single short, and returns true.
func (t *tiffHeader) short(entry []byte, v uint16) bool {
	clear(entry[8:])
	t.order.PutUint16(entry[2:], 3)
	t.order.PutUint32(entry[4:], 1)
	t.order.PutUint16(entry[8:], v)
	return true
}

// planes decodes the first three bands of a file with planar layout, and the fourth if it is alpha.
func (t *tiffHeader) planes(data []byte) (image.Image, error) {
	var joined image.Image
	bands := 3
	if t.alpha() {
		bands = 4
	}
	for c := range bands {
		plane, err := tiff.Decode(t.revised(data, func(entry []byte, tag uint16) (bool, error) {
			return t.alone(data, entry, tag, c)
		}))
		if err != nil {
			return nil, err
		}
		switch plane := plane.(type) {
		case *image.Gray:
			if c == 0 {
				joined = image.NewNRGBA(plane.Rect)
			}
			weave(joined.(*image.NRGBA).Pix[c:], plane.Pix, 4, 1)
		case *image.Gray16:
			if c == 0 {
				joined = image.NewNRGBA64(plane.Rect)
			}
			weave(joined.(*image.NRGBA64).Pix[2*c:], plane.Pix, 8, 2)
		default:
			return nil, fmt.Errorf("TIFF decoder gave a %T of a band", plane)
		}
	}
	switch {
	case bands == 3:
		opaque(joined)
	case t.extra == associated:
		return multiplied(joined), nil
	}
	return joined, nil
}

// multiplied reinterprets an image as one with premultiplied colours.
func multiplied(im image.Image) image.Image {
	switch im := im.(type) {
	case *image.NRGBA:
		return &image.RGBA{Pix: im.Pix, Stride: im.Stride, Rect: im.Rect}
	case *image.NRGBA64:
		return &image.RGBA64{Pix: im.Pix, Stride: im.Stride, Rect: im.Rect}
	}
	return im
}

// weave copies pieces of size bytes to every step bytes of dst.
func weave(dst, src []uint8, step, size int) {
	for i := range len(src) / size {
		copy(dst[i*step:], src[i*size:(i+1)*size])
	}
}

// alone revises a directory to describe one band as a greyscale image.
func (t *tiffHeader) alone(data, entry []byte, tag uint16, band int) (stays bool, err error) {
	switch tag {
	case tagBits:
		return t.short(entry, uint16(t.bits)), nil
	case tagPhotometric:
		return t.short(entry, blackIsZero), nil
	case tagSamples, tagPlanar:
		return t.short(entry, 1), nil
	case tagExtra, tagFormat:
		return false, nil
	case tagStripOffsets, tagStripCounts, tagTileOffsets, tagTileCounts:
		return true, t.part(data, entry, band)
	}
	return true, nil
}

// part narrows a list, with an equal number of values for each band, to those of one band.
func (t *tiffHeader) part(data, entry []byte, band int) error {
	size := map[uint16]int64{3: 2, 4: 4}[t.order.Uint16(entry[2:])]
	all := int64(t.order.Uint32(entry[4:]))
	if size == 0 || all == 0 || all%t.samples != 0 {
		return errors.New("TIFF file does not state where its bands are")
	}
	n := all / t.samples
	at, list := int64(t.order.Uint32(entry[8:])), data
	if size*all <= 4 {
		at, list = 0, bytes.Clone(entry[8:])
	}
	from := at + size*n*int64(band)
	if from+size*n > int64(len(list)) {
		return io.ErrUnexpectedEOF
	}
	t.order.PutUint32(entry[4:], uint32(n))
	t.order.PutUint32(entry[8:], uint32(from))
	if size*n <= 4 {
		clear(entry[8:])
		copy(entry[8:], list[from:from+size*n])
	}
	return nil
}

// patched is a file with a replaced header, and more data past its end.
type patched struct {
	head       [8]byte
	data, tail []byte
}

// ReadAt implements io.ReaderAt.
func (p *patched) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		var from []byte
		switch at := off + int64(n); {
		case at < 0:
			return n, errHeaderCut
		case at < 8:
			from = p.head[at:]
		case at < int64(len(p.data)):
			from = p.data[at:]
		case behind <= at && at < behind+int64(len(p.tail)):
			from = p.tail[at-behind:]
		default:
			return n, io.EOF
		}
		n += copy(b[n:], from)
	}
	return n, nil
}

// Read is never called: x/image/tiff uses ReadAt if available.
func (p *patched) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// broken is a reader that only returns an error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error)          { return 0, b.err }
func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }
