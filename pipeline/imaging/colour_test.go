package imaging

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// TestSaturationByStepsAndTable compares both implementations over all lumas and channels, at
// factors for which the table can and cannot be used.
func TestSaturationByStepsAndTable(t *testing.T) {
	var grey []uint8 // a grey pixel beside one with the same or nearly the same luma
	for v := range 256 {
		for w := range 256 {
			grey = append(grey, uint8(v), uint8(w), uint8(v+w))
		}
	}
	plain := identity()
	exact, inexact := 0, 0
	for i := range 600 {
		f := 0.3 + float64(i)*0.00317
		if i == 0 {
			f = 1 - 1e-7 // a difference of 1 becomes 0.9999999
		}
		if _, ok := changes(float32(f)); !ok {
			inexact++
		} else if exact++; i%10 > 0 {
			continue
		}
		a, b := bytes.Clone(grey), bytes.Clone(grey)
		plain.saturation(a, f)
		plain.saturationBySteps(b, float32(f))
		differ(t, fmt.Sprint("factor ", f), a, b, 0, 0)
	}
	if exact == 0 || inexact == 0 {
		t.Errorf("the table was used at %d factors and refused at %d", exact, inexact)
	}
}

// TestTableIsReadThrough compares operations merged into one table with the same operations on the
// pixels one after another.
func TestTableIsReadThrough(t *testing.T) {
	p := Params{Brightness: 1.3, Contrast: 0.7, Saturation: 1.1, Hue: 0.08, Threshold: 100}
	var s Scratch
	for _, order := range [][4]Op{{Brightness, Contrast, Saturation, Hue}, {Contrast, Hue, Brightness, Saturation}, {Saturation, Hue, Contrast, Brightness}} {
		for _, sigma := range []float64{0, 1} {
			together, apart := noisy(20, 20), noisy(20, 20)
			p.Jitter, p.Grey, p.Sigma, p.Solarise = order, true, sigma, true
			s.colour(together.Pix, 20, &p)
			for _, op := range order {
				one := p
				one.Jitter, one.Grey, one.Sigma, one.Solarise = [4]Op{op}, false, 0, false
				s.colour(apart.Pix, 20, &one)
			}
			s.colour(apart.Pix, 20, &Params{Grey: true})
			s.colour(apart.Pix, 20, &Params{Sigma: sigma})
			s.colour(apart.Pix, 20, &Params{Solarise: true, Threshold: p.Threshold})
			differ(t, fmt.Sprint(order, sigma), together.Pix, apart.Pix, 0, 0)
		}
	}
}

// TestBlurWithinOne compares with a Gaussian in float64 on images that are sensitive to rounding:
// black-and-white noise, edges, a single point.
func TestBlurWithinOne(t *testing.T) {
	const w, h = 41, 33
	var s Scratch
	for name, at := range map[string]func(i int) bool{
		"noise": func(i int) bool { return mix(uint64(i))&1 > 0 },
		"edges": func(i int) bool { return i/3%w > 20 != (i/3/w > 11) },
		"point": func(i int) bool { return i/3 == 15*w+20 },
	} {
		for _, sigma := range []float64{0.1, 0.3, 0.5, 0.8, 1.1, 1.4, 1.7, 2, 2.5, 20} {
			m := NewRGB(w, h)
			for i := range m.Pix {
				if at(i) {
					m.Pix[i] = 255
				}
			}
			want := gaussian(m, sigma)
			s.blur(m.Pix, w, h, sigma)
			for i, v := range m.Pix {
				if d := math.Abs(float64(v) - want[i]); d > 1 {
					t.Fatalf("%s, sigma %v: byte %d is %d, a Gaussian gives %.3f", name, sigma, i, v, want[i])
				}
			}
		}
	}
}

// gaussian implements the definition, truncated where the weights no longer matter to a byte.
func gaussian(m *RGB, sigma float64) []float64 {
	n := int(math.Ceil(6 * sigma))
	in := make([]float64, len(m.Pix))
	for i, v := range m.Pix {
		in[i] = float64(v)
	}
	for axis := range 2 {
		out := make([]float64, len(in))
		for i := range out {
			x, y, sum := i/3%m.W, i/3/m.W, 0.0
			for t := -n; t <= n; t++ {
				weight := math.Exp(-0.5 * float64(t*t) / (sigma * sigma))
				u, v := x+t*(1-axis), y+t*axis
				u, v = min(max(u, 0), m.W-1), min(max(v, 0), m.H-1)
				out[i] += weight * in[3*(v*m.W+u)+i%3]
				sum += weight
			}
			out[i] /= sum
		}
		in = out
	}
	return in
}
