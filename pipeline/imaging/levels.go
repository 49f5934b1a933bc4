package imaging

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Levels say which values of pictures with 16 bits a channel become black and white;
// those of 8 bits are left alone. What lies between is mapped linearly and rounded,
// what lies outside is cut off. Image editors and remote sensing call this levels,
// which holds for fixed values and for a stretch of percentiles; radiology's window
// would be the fixed ones alone, given as centre and width.
//
// The zero value is the full range: of each value the high byte.
type Levels struct {
	// Auto takes the 0.5 and 99.5 percentiles of each picture's own values, those of
	// all its colours together: NumPy's percentile with method "inverted_cdf". Where the
	// two are equal, the smallest and the largest value. Colours that alpha hides count
	// where it is dropped, and they are seen, but not under a Background. It makes pictures comparable
	// that were taken each in its own unit, and takes out how bright they are.
	Auto      bool
	Low, High uint16 // black and white, for all pictures alike
}

var (
	_ encoding.TextMarshaler   = Levels{}
	_ encoding.TextUnmarshaler = (*Levels)(nil)
)

// String is what UnmarshalText reads: full, auto or LOW:HIGH.
func (l Levels) String() string {
	switch {
	case l == Levels{}:
		return "full"
	case l.Auto:
		return "auto"
	}
	return fmt.Sprintf("%d:%d", l.Low, l.High)
}

// MarshalText gives String.
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

// Validate reports levels that UnmarshalText does not make.
func (l Levels) Validate() error {
	if l != (Levels{}) && (l.Auto && l.High > 0 || !l.Auto && l.Low >= l.High) {
		return fmt.Errorf("levels from %d to %d make no sense", l.Low, l.High)
	}
	return nil
}
