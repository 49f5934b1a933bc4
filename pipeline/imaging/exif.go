package imaging

import (
	"encoding/binary"
	"errors"
)

// Tags of a TIFF directory.
const (
	tagWidth       = 256
	tagHeight      = 257
	tagBits        = 258
	tagCompression = 259
	tagPhotometric = 262
	tagOrientation = 274
	tagSamples     = 277
	tagPlanar      = 284
	tagExtra       = 338
	tagFormat      = 339
)

// directory is what is read of the first directory of a TIFF structure; zero where
// the tag is missing or has another type than it should.
type directory struct {
	w, h, orientation int64
	tiffHeader
}

// directory reads the TIFF structure that fills the file from start to end. Where
// it is cut short, what was read counts, as with Pillow.
func (f *file) directory(start, end int64) (d directory, err error) {
	b, err := f.bytes(start, 8)
	if err != nil {
		return d, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return d, errors.New("no TIFF structure")
	}
	at := start + int64(order.Uint32(b[4:]))
	if at+2 > end {
		return d, errHeaderCut
	}
	entries, err := f.number(at, 2, order)
	if err != nil {
		return d, err
	}
	at += 2
	d.order, d.entries[0] = order, at
	for range entries {
		if at+12 > end {
			break
		}
		b, err := f.bytes(at, 12)
		if err != nil {
			return d, err
		}
		d.entries[1]++
		list := d.set(b, order)
		at += 12
		if list != nil { // its first value lies elsewhere
			*list, _ = f.number(start+*list, 2, order)
		}
	}
	return d, nil
}

// set takes one entry of a directory: tag, type, count, value. Of a list of shorts that
// is too long for the entry it takes where that lies in the structure, and returns that
// for the first value to be put there.
func (d *directory) set(b []byte, order binary.ByteOrder) (list *int64) {
	tag, count := order.Uint16(b), order.Uint32(b[4:])
	to, many := d.field(tag)
	switch tag {
	case tagBits:
		d.depths = int64(count)
	case tagExtra:
		d.explained = true
	}
	if to == nil || count != 1 && !many {
		return nil
	}
	switch kind := order.Uint16(b[2:]); {
	case kind == 3 && count <= 2: // short
		*to = int64(order.Uint16(b[8:]))
	case kind == 4 && count == 1: // long
		*to = int64(order.Uint32(b[8:]))
	case kind == 3:
		*to = int64(order.Uint32(b[8:]))
		return to
	}
	return nil
}

// field is where the value of a tag belongs, nil for nowhere; many says that it has one
// for each sample, of which the first counts.
func (d *directory) field(tag uint16) (to *int64, many bool) {
	switch tag {
	case tagWidth:
		return &d.w, false
	case tagHeight:
		return &d.h, false
	case tagBits:
		return &d.bits, true
	case tagCompression:
		return &d.compression, false
	case tagPhotometric:
		return &d.photometric, false
	case tagOrientation:
		return &d.orientation, false
	case tagSamples:
		return &d.samples, false
	case tagPlanar:
		return &d.planar, false
	case tagExtra:
		return &d.extra, true
	case tagFormat:
		return &d.format, true
	}
	return nil, false
}

// orientation reads the orientation from the EXIF block between start and end. One
// that is broken or names none says nothing: it does not spoil the picture.
func (f *file) orientation(h *header, start, end int64) {
	if d, _ := f.directory(start, end); 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
}
