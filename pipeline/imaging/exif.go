package imaging

import (
	"encoding/binary"
	"errors"
)

// Tags of a TIFF directory.
const (
	tagWidth       = 256
	tagHeight      = 257
	tagOrientation = 274
)

// directory is what is read of the first directory of a TIFF structure; zero where
// the tag is missing or has another type than it should.
type directory struct{ w, h, orientation int64 }

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
	for range entries {
		if at+12 > end {
			break
		}
		b, err := f.bytes(at, 12)
		if err != nil {
			return d, err
		}
		d.set(b, order)
		at += 12
	}
	return d, nil
}

// set takes one entry of a directory: tag, type, count, value.
func (d *directory) set(b []byte, order binary.ByteOrder) {
	to := &d.orientation
	switch order.Uint16(b) {
	case tagOrientation:
	case tagWidth:
		to = &d.w
	case tagHeight:
		to = &d.h
	default:
		return
	}
	if order.Uint32(b[4:]) != 1 {
		return
	}
	switch order.Uint16(b[2:]) {
	case 3: // short
		*to = int64(order.Uint16(b[8:]))
	case 4: // long
		*to = int64(order.Uint32(b[8:]))
	}
}

// orientation reads the orientation from the EXIF block between start and end. One
// that is broken or names none says nothing: it does not spoil the picture.
func (f *file) orientation(h *header, start, end int64) {
	if d, _ := f.directory(start, end); 1 <= d.orientation && d.orientation <= 8 {
		h.Orientation = int(d.orientation)
	}
}
