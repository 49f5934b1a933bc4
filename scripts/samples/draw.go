package main

import (
	"image"
	"math"
	"math/rand/v2"
)

// kind is one class of images. inside reports whether a point belongs to the figure; a shape lies
// within the unit circle, a pattern covers the plane with a period of about 1. p are three random
// numbers of the image, 0 <= p < 1. Most figures have about the kind's own hue, 0 to 1: colour
// hints at the content of an image, as in the real world, and neighbouring hues overlap.
type kind struct {
	name    string
	pattern bool
	hue     float64
	inside  func(x, y float64, p [3]float64) bool
}

var kinds = []kind{
	{"checks", true, 0.0, func(x, y float64, p [3]float64) bool {
		return (int(math.Floor(2*x))+int(math.Floor(2*y)))%2 == 0
	}},
	{"crosses", false, 0.3, func(x, y float64, p [3]float64) bool {
		arm := 0.2 + 0.15*p[0]
		return max(math.Abs(x), math.Abs(y)) < 0.9 && min(math.Abs(x), math.Abs(y)) < arm
	}},
	{"discs", false, 0.6, func(x, y float64, p [3]float64) bool {
		return math.Hypot(x, y*(1+0.3*p[0])) < 0.85
	}},
	{"dots", true, 0.9, func(x, y float64, p [3]float64) bool {
		return math.Hypot(x-math.Floor(x)-0.5, y-math.Floor(y)-0.5) < 0.25+0.12*p[0]
	}},
	{"rings", false, 0.2, func(x, y float64, p [3]float64) bool {
		r := math.Hypot(x, y*(1+0.3*p[0]))
		return r < 0.95 && r > 0.5+0.2*p[1]
	}},
	{"spirals", false, 0.5, func(x, y float64, p [3]float64) bool {
		r := math.Hypot(x, y)
		turn := r*(2+p[0]) - math.Atan2(y, x)/(2*math.Pi)
		return r < 1 && turn-math.Floor(turn) < 0.45
	}},
	{"stars", false, 0.8, func(x, y float64, p [3]float64) bool {
		points := 5 + math.Floor(3*p[0])
		// Distance from the middle of the nearest point, as a fraction of the way to the next
		// notch.
		a := math.Atan2(y, x) / (2 * math.Pi) * points
		a = 2 * math.Abs(a-math.Round(a))
		return math.Hypot(x, y) < 1-a*(0.5+0.15*p[1])
	}},
	{"stripes", true, 0.1, func(x, y float64, p [3]float64) bool {
		return x-math.Floor(x) < 0.35+0.3*p[0]
	}},
	{"triangles", false, 0.4, func(x, y float64, p [3]float64) bool {
		return y > -0.5 && y < 0.95-(1.5+0.5*p[0])*math.Abs(x)
	}},
	{"waves", true, 0.7, func(x, y float64, p [3]float64) bool {
		s := x + (0.2+0.15*p[0])*math.Sin(2*math.Pi*y*(0.6+0.4*p[1]))
		return s-math.Floor(s) < 0.5
	}},
}

type colour [3]float64

// paint converts a hue, saturation and value, 0 to 1 each, to a colour.
func paint(hue, saturation, value float64) (c colour) {
	for i, offset := range []float64{0, 2. / 3, 1. / 3} { // red, green, blue
		turn := math.Mod(hue+offset+1, 1)
		c[i] = 255 * value * (1 - saturation*(1-min(1, max(0, math.Abs(6*turn-3)-1))))
	}
	return c
}

func (c colour) luma() float64 { return 0.3*c[0] + 0.59*c[1] + 0.11*c[2] }

func (c colour) towards(d colour, t float64) colour {
	for i := range c {
		c[i] += t * (d[i] - c[i])
	}
	return c
}

// scene holds the parameters of an image.
type scene struct {
	kind           kind
	p              [3]float64
	figure, ground [2]colour // each is a gradient from the first to the second
	shade          float64   // direction of the gradients, in radians
	cx, cy         float64   // middle of the figure, 0..1
	size, turn     float64   // unit of the figure as a fraction of the side; radians
	noise          float64   // standard deviation, on the scale of 255
}

func newScene(k kind, r *rand.Rand) scene {
	pick := func() colour { return colour{255 * r.Float64(), 255 * r.Float64(), 255 * r.Float64()} }
	own := func() colour { return paint(k.hue+0.12*(r.Float64()-0.5), 0.5+0.5*r.Float64(), 0.4+0.6*r.Float64()) }
	s := scene{kind: k, p: [3]float64{r.Float64(), r.Float64(), r.Float64()}}
	for { // figure and ground must be distinguishable in grey, too
		f, g := own(), pick()
		if math.Abs(f.luma()-g.luma()) > 70 {
			s.figure = [2]colour{f, f.towards(pick(), 0.25)}
			s.ground = [2]colour{g, g.towards(pick(), 0.25)}
			break
		}
	}
	s.shade, s.turn = 2*math.Pi*r.Float64(), 2*math.Pi*r.Float64()
	s.cx, s.cy = 0.38+0.24*r.Float64(), 0.38+0.24*r.Float64()
	s.size = 0.25 + 0.2*r.Float64()
	if k.pattern {
		s.size = 0.16 + 0.14*r.Float64()
	}
	s.noise = 3 + 12*r.Float64()
	return s
}

// at returns the colour at a point of the unit square.
func (s *scene) at(x, y float64) colour {
	sin, cos := math.Sincos(s.turn)
	u, v := (x-s.cx)/s.size, (y-s.cy)/s.size
	sinS, cosS := math.Sincos(s.shade)
	t := 0.5 + ((x-0.5)*cosS+(y-0.5)*sinS)/math.Sqrt2
	if s.kind.inside(u*cos-v*sin, u*sin+v*cos, s.p) {
		return s.figure[0].towards(s.figure[1], t)
	}
	return s.ground[0].towards(s.ground[1], t)
}

// draw paints an image of size x size pixels, sampling four points per pixel.
func draw(k kind, size int, r *rand.Rand) *image.RGBA {
	s := newScene(k, r)
	m := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			var sum colour
			for i := range 4 {
				c := s.at((float64(x)+0.25+0.5*float64(i%2))/float64(size), (float64(y)+0.25+0.5*float64(i/2))/float64(size))
				sum = colour{sum[0] + c[0], sum[1] + c[1], sum[2] + c[2]}
			}
			pix := m.Pix[m.PixOffset(x, y):]
			grain := s.noise * r.NormFloat64()
			for c := range sum {
				v := sum[c]/4 + grain + s.noise/2*r.NormFloat64()
				pix[c] = uint8(min(max(v, 0), 255))
			}
			pix[3] = 255
		}
	}
	return m
}
