package imaging

import (
	"encoding"
	"errors"
	"math"
)

// Fit selects how a non-square image is brought to the square input of a model.
type Fit uint8

const (
	// FitCrop scales the shorter side and crops the longer one around its centre.
	FitCrop Fit = iota
	// FitPad scales the longer side and pads the shorter one: the whole image is visible in its
	// aspect ratio, but smaller. It is Pillow's ImageOps.pad.
	FitPad
	// FitSquash scales each side independently: the whole image is visible but distorted.
	FitSquash
)

var fits = [...]string{"crop", "pad", "squash"}

var (
	_ encoding.TextMarshaler   = FitCrop
	_ encoding.TextUnmarshaler = (*Fit)(nil)
)

// String returns the form that UnmarshalText reads: crop, pad or squash.
func (f Fit) String() string { return fits[f] }

// MarshalText returns String as bytes.
func (f Fit) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads crop, pad or squash.
func (f *Fit) UnmarshalText(text []byte) error {
	for i, name := range fits {
		if string(text) == name {
			*f = Fit(i)
			return nil
		}
	}
	return errors.New("want crop, pad or squash")
}

// scaled returns the size to which p scales an image of w x h pixels, each at least 1.
func (p Preprocess) scaled(w, h int) (int, int) {
	switch p.Fit {
	case FitSquash:
		return p.Crop, p.Crop
	case FitPad:
		if w < h {
			return contained(w, h, p.Crop), p.Crop
		}
		return p.Crop, contained(h, w, p.Crop)
	}
	short := p.Resize
	if short == 0 {
		short = p.Crop
	}
	if w < h {
		return short, int(float64(short*h) / float64(w))
	}
	return int(float64(short*w) / float64(h)), short
}

// contained returns the length of the shorter side when the longer one is scaled to size, rounded
// like ImageOps.contain.
func contained(short, long, size int) int {
	return max(1, int(math.RoundToEven(float64(short)/float64(long)*float64(size))))
}

// half returns d/2, rounding halves to even.
func half(d int) int {
	h := d / 2
	if d%2 == 1 && h%2 == 1 {
		h++
	}
	return h
}
