package imaging

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Levels selects which values of images with 16 bits per channel become black and white; 8-bit
// images are unaffected. Values in between are mapped linearly and rounded, values outside are
// clipped. The name is that of image editors and remote sensing, which covers fixed values as well
// as a percentile stretch; radiology's window would be fixed values only, given as centre and
// width.
//
// The zero value is the full range: the high byte of each value.
type Levels struct {
	// Auto uses the 0.5 and 99.5 percentiles of each image's own values over all its colours:
	// NumPy's percentile with method "inverted_cdf", or the smallest and the largest value if the
	// two are equal. Colours hidden by alpha count when alpha is dropped, which makes them visible,
	// but not with a Background. Auto makes images in different units comparable, and discards
	// their absolute brightness.
	Auto      bool
	Low, High uint16 // black and white, the same for all images
}

var (
	_ encoding.TextMarshaler   = Levels{}
	_ encoding.TextUnmarshaler = (*Levels)(nil)
)

// String returns the form that UnmarshalText reads: full, auto or LOW:HIGH.
func (l Levels) String() string {
	switch {
	case l == Levels{}:
		return "full"
	case l.Auto:
		return "auto"
	}
	return fmt.Sprintf("%d:%d", l.Low, l.High)
}

// MarshalText returns String as bytes.
func (l Levels) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads full, auto or LOW:HIGH.
func (l *Levels) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "full":
		*l = Levels{}
	case "auto":
		*l = Levels{Auto: true}
	default:
		low, high, _ := strings.Cut(s, ":")
		a, err := strconv.ParseUint(low, 10, 16)
		b, err2 := strconv.ParseUint(high, 10, 16)
		if err != nil || err2 != nil || a >= b {
			return errors.New("want full, auto, or LOW:HIGH with whole numbers from 0 to 65535, such as 0:4095")
		}
		*l = Levels{Low: uint16(a), High: uint16(b)}
	}
	return nil
}

// Validate rejects levels that UnmarshalText cannot produce.
func (l Levels) Validate() error {
	if l != (Levels{}) && (l.Auto && l.High > 0 || !l.Auto && l.Low >= l.High) {
		return fmt.Errorf("levels from %d to %d are invalid", l.Low, l.High)
	}
	return nil
}
