package imaging

import (
	"fmt"
	"testing"
)

// quarterTurned returns an image rotated counterclockwise by a quarter.
func quarterTurned(m *RGB) *RGB {
	out := NewRGB(m.H, m.W)
	for y := range out.H {
		for x := range out.W {
			copy(out.Pix[3*(y*out.W+x):][:3], m.Pix[3*(x*m.W+m.W-1-y):])
		}
	}
	return out
}

func TestFitEqualsPillow(t *testing.T) {
	wide := load(t, "big.png")
	line := &RGB{W: wide.W, H: 4, Pix: wide.Pix[3*9*wide.W : 3*13*wide.W]}
	sources := map[string]*RGB{"wide": wide, "tall": quarterTurned(wide), "line": line}
	var s Scratch
	for _, fit := range []Fit{FitPad, FitSquash} {
		for _, g := range goldens(t, fit.String()) {
			p := Preprocess{Crop: g.Crop, Interpolation: g.Filter, Fit: fit}
			if fit == FitPad {
				p.Fill = Background{true, 124, 116, 104}
			}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			dst := make([]uint8, 3*g.Crop*g.Crop)
			Evaluate(sources[g.File], dst, p, &s)
			differ(t, g.Name, dst, g.Result, 0, 0)
		}
	}
}

// For every shape, the pixels are those of Resize centred on the fill colour.
func TestPadIsResizeOnAColour(t *testing.T) {
	fill := Background{true, 1, 2, 3}
	var s Scratch
	for _, size := range []int{1, 2, 7, 8} {
		for w := 1; w <= 12; w++ {
			for _, h := range []int{1, 2, 5, 9, 40} {
				src := noisy(w, h)
				long := max(w, h)
				// round(short / long * size) in integers; halves to even
				side := func(short int) int {
					n, rest := short*size/long, short*size%long
					if 2*rest > long || 2*rest == long && n%2 == 1 {
						n++
					}
					return max(n, 1)
				}
				small := &RGB{W: side(w), H: side(h)}
				Resize(small, src, Box{0, 0, float64(w), float64(h)}, Bilinear, &s)
				got := make([]uint8, 3*size*size)
				Evaluate(src, got, Preprocess{Crop: size, Interpolation: "bilinear", Fit: FitPad, Fill: fill}, &s)
				left, up := (size-small.W)/2, (size-small.H)/2
				if d := size - small.W; d%4 == 3 {
					left++
				}
				if d := size - small.H; d%4 == 3 {
					up++
				}
				for i := range size * size {
					x, y := i%size-left, i/size-up
					want := []uint8{1, 2, 3}
					if x >= 0 && y >= 0 && x < small.W && y < small.H {
						want = small.Pix[3*(y*small.W+x):][:3]
					}
					differ(t, fmt.Sprintf("%dx%d in %d, pixel %d", w, h, size, i), got[3*i:][:3], want, 0, 0)
				}
			}
		}
	}
}

// For a square all fits are equal, and one of the model's size is left unchanged.
func TestFitOfSquares(t *testing.T) {
	var s Scratch
	for _, side := range []int{16, 41} {
		src := noisy(side, side)
		want := make([]uint8, 3*16*16)
		Evaluate(src, want, Preprocess{Crop: 16, Interpolation: "bicubic"}, &s)
		for _, p := range []Preprocess{{Fit: FitPad, Fill: Background{Set: true, R: 9}}, {Fit: FitSquash}} {
			p.Crop, p.Interpolation = 16, "bicubic"
			got := make([]uint8, 3*16*16)
			Evaluate(src, got, p, &s)
			differ(t, fmt.Sprint(p.Fit, " of ", side), got, want, 0, 0)
		}
		if side == 16 {
			differ(t, "as it was", want, src.Pix, 0, 0)
		}
	}
}

func TestFitText(t *testing.T) {
	for text, want := range map[string]Fit{"crop": FitCrop, "pad": FitPad, "squash": FitSquash} {
		f := Fit(77)
		if err := f.UnmarshalText([]byte(text)); err != nil || f != want || f.String() != text {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
	for _, text := range []string{"", "Crop", "border", "pad "} {
		f := FitPad
		if err := f.UnmarshalText([]byte(text)); err == nil || f != FitPad {
			t.Errorf("%q was taken for %v", text, f)
		}
	}
}

func TestFitValidate(t *testing.T) {
	colour := Background{Set: true}
	for _, p := range []Preprocess{{Fit: 3}, {Fit: FitPad}, {Fill: colour}, {Fit: FitSquash, Fill: colour},
		{Fit: FitSquash, Resize: 9}, {Fit: FitPad, Fill: colour, Resize: 8}} {
		p.Crop, p.Interpolation = 8, "bicubic"
		if p.Validate() == nil {
			t.Errorf("%+v: accepted", p)
		}
	}
}
