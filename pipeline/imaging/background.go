package imaging

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
)

// Background is a colour that transparent pictures are laid upon. The zero value is
// none: then their alpha is dropped, and the colours that it hid are seen.
type Background struct {
	Set     bool
	R, G, B uint8
}

var (
	_ encoding.TextMarshaler   = Background{}
	_ encoding.TextUnmarshaler = (*Background)(nil)
)

// String is what UnmarshalText reads: #rrggbb, "" for none.
func (b Background) String() string {
	if !b.Set {
		return ""
	}
	return fmt.Sprintf("#%02x%02x%02x", b.R, b.G, b.B)
}

// MarshalText gives String.
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

// over lays a pixel of that alpha upon the background, rounded as Pillow's paste does.
func (b Background) over(pixel []uint8, alpha uint8) {
	if alpha == 255 {
		return
	}
	for c, back := range [3]uint8{b.R, b.G, b.B} {
		v := uint32(pixel[c])*uint32(alpha) + uint32(back)*(255-uint32(alpha)) + 128
		pixel[c] = uint8((v>>8 + v) >> 8)
	}
}

// lay lays a row upon the background, if there is one, and takes notice of what is not
// opaque. Alphas are the first of every step bytes.
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
