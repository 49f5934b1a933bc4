package imaging

import (
	"encoding"
	"errors"
	"math"
)

// Fit is the way of a picture that is not square to the square that a model sees.
type Fit uint8

const (
	// FitCrop scales the shorter side and cuts the ends of the longer one off.
	FitCrop Fit = iota
	// FitPad scales the longer side, and fills what stays free beside the shorter one:
	// all is seen in its shape, and smaller. It is Pillow's ImageOps.pad.
	FitPad
	// FitSquash scales each side by itself: all is seen, and out of shape.
	FitSquash
)

var fits = [...]string{"crop", "pad", "squash"}

var (
	_ encoding.TextMarshaler   = FitCrop
	_ encoding.TextUnmarshaler = (*Fit)(nil)
)

// String is what UnmarshalText reads: crop, pad or squash.
func (f Fit) String() string { return fits[f] }

// MarshalText gives String.
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

// scaled is the size to which p scales a picture of w x h pixels, each at least 1.
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

// contained is the shorter side when the longer one is scaled to size, rounded as
// ImageOps.contain rounds.
func contained(short, long, size int) int {
	return max(1, int(math.RoundToEven(float64(short)/float64(long)*float64(size))))
}

// half rounds halves to even.
func half(d int) int {
	h := d / 2
	if d%2 == 1 && h%2 == 1 {
		h++
	}
	return h
}
