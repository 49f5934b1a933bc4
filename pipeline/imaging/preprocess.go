package imaging

import (
	"errors"
	"fmt"
)

// Preprocess is the deterministic path from an image to a network outside of training: decode it
// with Conversion, and bring it to Crop x Crop pixels with Fit. FitCrop scales the shorter side to
// Resize and crops Crop x Crop from the centre; Resize 0 means Crop, which leaves an image of that
// size unchanged.
type Preprocess struct {
	Resize        int    `json:"resize"` // 0 unless Fit is FitCrop
	Crop          int    `json:"crop"`
	Interpolation string `json:"interpolation"` // bicubic or bilinear
	Conversion
	Fit  Fit        `json:"fit,omitzero"`
	Fill Background `json:"fill,omitzero"` // the padding colour of FitPad, which requires it; unset otherwise
}

// Validate reports why p is invalid.
func (p Preprocess) Validate() error {
	if p.Crop < 1 || p.Crop > 1<<14 || p.Resize < 0 || p.Resize > 1<<14 {
		return fmt.Errorf("cannot resize to %d and crop to %d pixels", p.Resize, p.Crop)
	}
	if int(p.Fit) >= len(fits) {
		return fmt.Errorf("fit %d is unknown", p.Fit)
	}
	if p.Fit != FitCrop && p.Resize != 0 {
		return fmt.Errorf("cannot resize to %d pixels and %v to %d: want the one or the other", p.Resize, p.Fit, p.Crop)
	}
	if p.Fill.Set != (p.Fit == FitPad) {
		return errors.New("fill, a colour, belongs to fit pad, and it to a colour")
	}
	if err := p.Conversion.Validate(); err != nil {
		return err
	}
	_, err := ParseFilter(p.Interpolation)
	return err
}

// Evaluate writes the Crop x Crop pixels of src into dst, which must hold 3*Crop*Crop bytes. The
// pixels are those of torchvision's Resize and CenterCrop on a Pillow image, where a crop larger
// than the resized image is padded with black, or of Pillow's ImageOps.pad or resize. It panics if
// p is invalid. It allocates nothing once s has grown.
func Evaluate(src *RGB, dst []uint8, p Preprocess, s *Scratch) {
	filter, err := ParseFilter(p.Interpolation)
	if err != nil {
		panic(err)
	}
	dst = dst[:3*p.Crop*p.Crop]
	w, h := p.scaled(src.W, src.H)
	x, padX, cw := center(w, p.Crop)
	y, padY, ch := center(h, p.Crop)
	s.resample(&s.kx, filter, src.W, 0, float64(src.W), w, x, cw)
	s.resample(&s.ky, filter, src.H, 0, float64(src.H), h, y, ch)
	s.convolve(dst, src.area(), false)
	if cw == p.Crop && ch == p.Crop {
		return
	}
	if p.Fit == FitPad { // ImageOps rounds halves to even
		padX, padY = half(p.Crop-cw), half(p.Crop-ch)
	}
	pad(dst, cw, ch, padX, padY, p.Crop, p.Fill)
}

// center returns the start of a centred window of want samples in have or, if there are too few,
// the padding before the first one.
func center(have, want int) (first, before, count int) {
	if have < want {
		return 0, (want - have) / 2, have
	}
	return half(have - want), 0, want
}

// pad moves the w x h image at the beginning of dst to x, y of a size x size one and fills the
// rest. It moves rows from last to first, so that none overwrites one yet to be moved.
func pad(dst []uint8, w, h, x, y, size int, fill Background) {
	for r := h - 1; r >= 0; r-- {
		at := 3 * ((y+r)*size + x)
		copy(dst[at:at+3*w], dst[3*w*r:3*w*(r+1)])
	}
	for r := range size {
		row := dst[3*size*r : 3*size*(r+1)]
		if r < y || r >= y+h {
			fill.paint(row)
			continue
		}
		fill.paint(row[:3*x])
		fill.paint(row[3*(x+w):])
	}
}

// paint fills a row with the colour, black for none.
func (b Background) paint(row []uint8) {
	for i := 0; i+2 < len(row); i += 3 {
		row[i], row[i+1], row[i+2] = b.R, b.G, b.B
	}
}
