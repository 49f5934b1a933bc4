package imaging

import "math"

// blur convolves the w x h picture pix with a Gaussian of the given sigma in
// pixels, in place; what lies outside repeats the edge. It is a true Gaussian to
// within 1/255, cut off at 3.5 sigma. Pillow's GaussianBlur, which the authors'
// code uses, approximates the same curve by repeated box filters and so differs
// from this by a few units at edges.
func (s *Scratch) blur(pix []uint8, w, h int, sigma float64) {
	s.gaussian(&s.kx, w, sigma)
	s.gaussian(&s.ky, h, sigma)
	s.convolve(pix, area{pix, w, h, 3 * w})
}

func (s *Scratch) gaussian(k *kernel, size int, sigma float64) {
	radius := int(math.Ceil(3.5 * sigma))
	taps := 2*radius + 1
	s.weights = grow(s.weights, 2*taps)
	curve, folded := s.weights[:taps], s.weights[taps:]
	sum := 0.0
	for t := range curve {
		d := float64(t-radius) / sigma
		curve[t] = math.Exp(-0.5 * d * d)
		sum += curve[t]
	}
	k.reset(size, taps)
	for i := range size {
		lo, hi := max(i-radius, 0), min(i+radius, size-1)
		k.lo[i], k.n[i] = lo, hi-lo+1
		if k.n[i] == taps && i > radius { // as for the pixel before
			copy(k.w[i*taps:(i+1)*taps], k.w[(i-1)*taps:])
			continue
		}
		clear(folded)
		for t, v := range curve {
			folded[min(max(i-radius+t, lo), hi)-lo] += v
		}
		k.fix(i, folded[:k.n[i]], sum)
	}
}
