package imaging

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// Params is one drawn augmentation: everything Apply needs besides the pixels. It holds no random
// state and does not depend on the size of the image, so it can be stored, sent to another device,
// or applied twice.
type Params struct {
	// Tries holds the random numbers, each 0 <= u < 1, of up to ten attempts at a crop: area,
	// ratio, top, left. Area and Ratio are the recipe's bounds.
	Tries       [10][4]float64
	Area, Ratio [2]float64
	Filter      Filter

	FlipH, FlipV bool
	Turns        uint8 // clockwise quarter turns after the flips, 0 to 3

	// Jitter lists the colour operations in the order they run, with NoOp in unused places.
	Jitter                                [4]Op
	Brightness, Contrast, Saturation, Hue float64

	Grey      bool
	Sigma     float64 // of the blur in pixels, 0 for none
	Solarise  bool
	Threshold uint8
}

// Op is a colour operation of Params.Jitter.
type Op uint8

// The colour operations.
const (
	NoOp Op = iota
	Brightness
	Contrast
	Saturation
	Hue
)

// source generates the random numbers of one draw.
type source struct{ rand.PCG }

// unit is uniform in 0 <= u < 1 with 53 bits.
func (s *source) unit() float64 { return float64(s.Uint64()>>11) / (1 << 53) }

func (s *source) hit(probability float64) bool { return s.unit() < probability }

// between is uniform in lo..hi.
func (s *source) between(lo, hi float64) float64 { return lo + float64(s.unit()*(hi-lo)) }

// mix is the finaliser of splitmix64: every input bit reaches every output bit.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Draw draws the augmentation of one view (0 or 1) of the image with this key (its relative path).
// The result depends only on the recipe and the arguments. The same number of random values is
// consumed whatever the recipe, so that changing one of its fields leaves the other draws as they
// were.
func (r *Recipe) Draw(seed uint64, epoch int, key string, view int) Params {
	name := uint64(14695981039346656037) // FNV-1a
	for i := range len(key) {
		name = (name ^ uint64(key[i])) * 1099511628211
	}
	when := mix(mix(seed)+uint64(epoch)) + uint64(view)
	var s source
	s.Seed(mix(when), mix(name)^bits.RotateLeft64(when, 32))

	v := r.Views[view]
	p := Params{Area: r.Area, Ratio: r.Ratio, Threshold: r.Threshold}
	if r.Interpolation == "bilinear" {
		p.Filter = Bilinear
	}
	for t := range p.Tries {
		for i := range p.Tries[t] {
			p.Tries[t][i] = s.unit()
		}
	}
	p.FlipH, p.FlipV = s.hit(v.FlipH), s.hit(v.FlipV)
	r.drawJitter(&p, &s, s.hit(v.Jitter))
	p.Grey = s.hit(v.Grey)
	blur, sigma := s.hit(v.Blur), s.between(r.Sigma[0], r.Sigma[1])
	if blur {
		p.Sigma = sigma
	}
	p.Solarise = s.hit(v.Solarise)
	// Last, so that the draws of older versions are reproduced.
	turned, turns := s.hit(v.Rotate), 1+uint8(s.unit()*3)
	if turned {
		p.Turns = turns
	}
	return p
}

// drawJitter draws the factors and their order; an operation of strength 0 does not run at all, as
// in torchvision.
func (r *Recipe) drawJitter(p *Params, s *source, run bool) {
	p.Brightness = s.between(max(0, 1-r.Brightness), 1+r.Brightness)
	p.Contrast = s.between(max(0, 1-r.Contrast), 1+r.Contrast)
	p.Saturation = s.between(max(0, 1-r.Saturation), 1+r.Saturation)
	p.Hue = s.between(-r.Hue, r.Hue)
	order := [4]Op{Brightness, Contrast, Saturation, Hue}
	for i := 3; i > 0; i-- {
		j := int(s.unit() * float64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	strength := [...]float64{NoOp: 0, Brightness: r.Brightness, Contrast: r.Contrast, Saturation: r.Saturation, Hue: r.Hue}
	for i, op := range order {
		if run && strength[op] > 0 {
			p.Jitter[i] = op
		}
	}
}

// Crop returns the window, in whole pixels, that p crops from a w x h image: the first try that
// fits, or else the largest centred window whose ratio is within bounds (torchvision's
// RandomResizedCrop).
func (p *Params) Crop(w, h int) (x, y, cw, ch int) {
	lo, hi := math.Log(p.Ratio[0]), math.Log(p.Ratio[1])
	for _, u := range p.Tries {
		size := float64(w*h) * (p.Area[0] + float64(u[0]*(p.Area[1]-p.Area[0])))
		ratio := math.Exp(lo + float64(u[1]*(hi-lo)))
		cw = int(math.RoundToEven(math.Sqrt(size * ratio)))
		ch = int(math.RoundToEven(math.Sqrt(size / ratio)))
		if 0 < cw && cw <= w && 0 < ch && ch <= h {
			return int(u[3] * float64(w-cw+1)), int(u[2] * float64(h-ch+1)), cw, ch
		}
	}
	cw, ch = w, h
	if in := float64(w) / float64(h); in < p.Ratio[0] {
		ch = int(math.RoundToEven(float64(w) / p.Ratio[0]))
	} else if in > p.Ratio[1] {
		cw = int(math.RoundToEven(float64(h) * p.Ratio[1]))
	}
	cw, ch = min(max(cw, 1), w), min(max(ch, 1), h)
	return (w - cw) / 2, (h - ch) / 2, cw, ch
}
