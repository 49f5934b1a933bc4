package imaging

import "fmt"

// Apply makes the view that p describes: size x size pixels into dst, which must
// hold 3*size*size bytes and is written row after row, RGB. It allocates nothing
// once s has grown. dst must not share memory with src.
func Apply(p Params, src *RGB, dst []uint8, size int, s *Scratch) {
	dst = dst[:3*size*size]
	x, y, w, h := p.Crop(src.W, src.H)
	s.resample(&s.kx, p.Filter, w, 0, float64(w), size, 0, size)
	s.resample(&s.ky, p.Filter, h, 0, float64(h), size, 0, size)
	flipH, flipV, transposed := p.orientation()
	if flipH {
		s.kx.reverse()
	}
	s.convolve(dst, src.cut(x, y, w, h), flipV)
	if transposed {
		transpose(dst, size)
	}
	s.colour(dst, size, &p)
}

// orientation is the flips of p and its turns as one: flips, and then perhaps rows
// for columns. Half a turn is both flips, a quarter one flip and the exchange.
func (p *Params) orientation() (flipH, flipV, transposed bool) {
	return p.FlipH != (p.Turns >= 2), p.FlipV != (p.Turns == 1 || p.Turns == 2), p.Turns&1 == 1
}

// transpose exchanges rows and columns of the size x size picture pix.
func transpose(pix []uint8, size int) {
	for y := 1; y < size; y++ {
		for x := range y {
			a, b := (*[3]uint8)(pix[3*(y*size+x):]), (*[3]uint8)(pix[3*(x*size+y):])
			*a, *b = *b, *a
		}
	}
}

// colour runs everything of p that comes after crop, flips and turn on the size x size
// picture pix.
func (s *Scratch) colour(pix []uint8, size int, p *Params) {
	t := identity()
	for _, op := range p.Jitter {
		switch op {
		case Brightness:
			t.brightness(p.Brightness)
		case Contrast:
			t.contrast(pix, p.Contrast)
		case Saturation:
			t.saturation(pix, p.Saturation)
			t = identity()
		case Hue:
			s.hue(pix, &t, p.Hue)
			t = identity()
		}
	}
	if p.Grey {
		t.greyscale(pix)
		t = identity()
	}
	if p.Sigma > 0 {
		t.apply(pix)
		t = identity()
		s.blur(pix, size, size, p.Sigma)
	}
	if p.Solarise {
		t.solarise(p.Threshold)
	}
	t.apply(pix)
}

// Preprocess is the fixed way of a picture to a network outside of training:
// decode it as Conversion says, scale the shorter side to Resize, cut Crop x Crop from the centre. With Resize
// 0 the shorter side is scaled to Crop itself, which leaves a picture of that
// size alone.
type Preprocess struct {
	Resize        int    `json:"resize"`
	Crop          int    `json:"crop"`
	Interpolation string `json:"interpolation"` // bicubic or bilinear
	Conversion
}

// Validate reports what makes p impossible.
func (p Preprocess) Validate() error {
	if p.Crop < 1 || p.Crop > 1<<14 || p.Resize < 0 || p.Resize > 1<<14 {
		return fmt.Errorf("cannot resize to %d and crop to %d pixels", p.Resize, p.Crop)
	}
	if err := p.Conversion.Validate(); err != nil {
		return err
	}
	_, err := ParseFilter(p.Interpolation)
	return err
}

// Evaluate writes the Crop x Crop pixels of src into dst, which must hold
// 3*Crop*Crop bytes. The pixels are those of torchvision's Resize and CenterCrop
// on a Pillow image; a crop larger than the resized picture is padded with
// black. It panics when p is not valid. It allocates nothing once s has grown.
func Evaluate(src *RGB, dst []uint8, p Preprocess, s *Scratch) {
	filter, err := ParseFilter(p.Interpolation)
	if err != nil {
		panic(err)
	}
	dst = dst[:3*p.Crop*p.Crop]
	short := p.Resize
	if short == 0 {
		short = p.Crop
	}
	w, h := short, short
	if src.W < src.H {
		h = int(float64(short*src.H) / float64(src.W))
	} else {
		w = int(float64(short*src.W) / float64(src.H))
	}
	x, padX, cw := center(w, p.Crop)
	y, padY, ch := center(h, p.Crop)
	s.resample(&s.kx, filter, src.W, 0, float64(src.W), w, x, cw)
	s.resample(&s.ky, filter, src.H, 0, float64(src.H), h, y, ch)
	s.convolve(dst, src.area(), false)
	if cw < p.Crop || ch < p.Crop {
		pad(dst, cw, ch, padX, padY, p.Crop)
	}
}

// center finds where a window of want samples begins in the middle of have, or
// how many come before the first when there are too few. Halves round to even.
func center(have, want int) (first, before, count int) {
	if have < want {
		return 0, (want - have) / 2, have
	}
	d := have - want
	first = d / 2
	if d%2 == 1 && first%2 == 1 {
		first++
	}
	return first, 0, want
}

// pad moves the w x h picture at the beginning of dst to x, y of a size x size one
// and blackens the rest. Rows move from the last to the first, never onto one
// that has still to move.
func pad(dst []uint8, w, h, x, y, size int) {
	for r := h - 1; r >= 0; r-- {
		at := 3 * ((y+r)*size + x)
		copy(dst[at:at+3*w], dst[3*w*r:3*w*(r+1)])
	}
	for r := range size {
		row := dst[3*size*r : 3*size*(r+1)]
		if r < y || r >= y+h {
			clear(row)
			continue
		}
		clear(row[:3*x])
		clear(row[3*(x+w):])
	}
}
