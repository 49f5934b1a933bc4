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

// directory holds the fields read from the first directory of a TIFF structure; zero if the tag is
// missing or has an unexpected type.
type directory struct {
	w, h, orientation int64
	tiffHeader
}

// directory reads the TIFF structure that occupies the file from start to end. If it is truncated,
// the entries read so far count, as with Pillow.
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
		if list != nil { // its first value is stored elsewhere
			*list, _ = f.number(start+*list, 2, order)
		}
	}
	return d, nil
}

// set decodes one entry of a directory: tag, type, count, value. For a list of shorts too long to
// be inline it stores the list's offset and returns a pointer to it, which the caller replaces by
// the first value.
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

// field returns the destination of a tag's value, nil to ignore it; many reports whether the tag
// has one value per sample, of which the first is used.
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

// orientation reads the orientation from the EXIF block between start and end. A broken block, or
// one without an orientation, is ignored: the image is still usable.
func (f *file) orientation(h *header, start, end int64) {
	if d, _ := f.directory(start, end); 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
}
