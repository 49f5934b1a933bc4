package imaging

// Apply renders the view that p describes: size x size pixels into dst, which must hold 3*size*size
// bytes; the layout is row-major RGB. It allocates nothing once s has grown. dst must not share
// memory with src.
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

// orientation combines the flips and turns of p into flips followed by an optional transposition: a
// half turn is both flips, a quarter turn one flip and the transposition.
func (p *Params) orientation() (flipH, flipV, transposed bool) {
	return p.FlipH != (p.Turns >= 2), p.FlipV != (p.Turns == 1 || p.Turns == 2), p.Turns&1 == 1
}

// transpose transposes the size x size image pix in place.
func transpose(pix []uint8, size int) {
	for y := 1; y < size; y++ {
		for x := range y {
			a, b := (*[3]uint8)(pix[3*(y*size+x):]), (*[3]uint8)(pix[3*(x*size+y):])
			*a, *b = *b, *a
		}
	}
}

// colour applies everything in p after crop, flips and turn to the size x size image pix, in place.
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
