package imaging

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
)

// Background is a colour that transparent images are composited onto. The zero value means none:
// alpha is dropped, and the colours that it hid become visible.
type Background struct {
	Set     bool
	R, G, B uint8
}

var (
	_ encoding.TextMarshaler   = Background{}
	_ encoding.TextUnmarshaler = (*Background)(nil)
)

// String returns the form that UnmarshalText reads: #rrggbb, or "" for none.
func (b Background) String() string {
	if !b.Set {
		return ""
	}
	return fmt.Sprintf("#%02x%02x%02x", b.R, b.G, b.B)
}

// MarshalText returns String as bytes.
func (b Background) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a colour as #rrggbb, or "" for none.
func (b *Background) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*b = Background{}
		return nil
	}
	rgb, err := strconv.ParseUint(string(text[1:]), 16, 24)
	if err != nil || len(text) != 7 || text[0] != '#' {
		return errors.New("want a colour as #rrggbb, such as #ffffff for white")
	}
	*b = Background{true, uint8(rgb >> 16), uint8(rgb >> 8), uint8(rgb)}
	return nil
}

// over composites a pixel with the given alpha onto the background, rounding like Pillow's paste.
func (b Background) over(pixel []uint8, alpha uint8) {
	if alpha == 255 {
		return
	}
	for c, back := range [3]uint8{b.R, b.G, b.B} {
		v := uint32(pixel[c])*uint32(alpha) + uint32(back)*(255-uint32(alpha)) + 128
		pixel[c] = uint8((v>>8 + v) >> 8)
	}
}

// lay composites a row onto the background, if one is set, and records in Facts whether a pixel is
// not opaque. alphas holds a pixel's alpha every step bytes.
func (d *Decoder) lay(dst, alphas []uint8, step int) {
	if !d.Conversion.Background.Set && d.Facts == nil {
		return
	}
	for i := range len(dst) / 3 {
		a := alphas[i*step]
		if a != 255 && d.Facts != nil {
			d.Facts.Transparent = true
		}
		if d.Conversion.Background.Set {
			d.Conversion.Background.over(dst[3*i:3*i+3], a)
		}
	}
}
