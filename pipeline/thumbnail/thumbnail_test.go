package thumbnail

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"vicreg/pipeline/imaging"
)

// halves is red on the left and blue on the right.
func halves(w, h int) *imaging.RGB {
	p := imaging.NewRGB(w, h)
	for i := range w * h {
		p.Pix[3*i+2*(i%w*2/w)] = 255
	}
	return p
}

func made(t *testing.T, p *imaging.RGB) image.Image {
	t.Helper()
	file, err := Make(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) > Bytes {
		t.Errorf("%dx%d: %d bytes", p.W, p.H, len(file))
	}
	m, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A thumbnail keeps the aspect ratio, fits the limit and is not enlarged.
func TestSizes(t *testing.T) {
	for size, want := range map[image.Point]image.Point{
		{500, 375}:   {192, 144},
		{375, 500}:   {144, 192},
		{4000, 3000}: {192, 144},
		{3999, 2999}: {192, 144},
		{192, 192}:   {192, 192},
		{193, 1}:     {192, 1},
		{1, 16384}:   {1, 192},
		{20, 24}:     {20, 24},
		{1, 1}:       {1, 1},
	} {
		if got := made(t, halves(size.X, size.Y)).Bounds().Size(); got != want {
			t.Errorf("%v became %v, want %v", size, got, want)
		}
	}
}

// Colours stay in place at every size.
func TestColours(t *testing.T) {
	for _, size := range []image.Point{{40, 30}, {500, 375}, {1537, 1000}} {
		m := made(t, halves(size.X, size.Y))
		w, h := m.Bounds().Dx(), m.Bounds().Dy()
		for x, blue := range map[int]bool{w / 4: false, 3 * w / 4: true} {
			r, g, b, _ := m.At(x, h/2).RGBA()
			if r>>8 > 240 == blue || g>>8 > 20 || b>>8 > 240 != blue {
				t.Errorf("%v at %d: %d %d %d", size, x, r>>8, g>>8, b>>8)
			}
		}
	}
}

// A picture that hardly compresses stays within the limit too.
func TestNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p := imaging.NewRGB(Side, Side)
	for i := range p.Pix {
		p.Pix[i] = uint8(255 * random.IntN(2))
	}
	made(t, p)
}

func TestNoPicture(t *testing.T) {
	for _, p := range []*imaging.RGB{{}, {Pix: make([]uint8, 3), W: 2, H: 1}, {Pix: make([]uint8, 3), W: -1, H: -1}} {
		if _, err := Make(p); err == nil {
			t.Errorf("%dx%d of %d bytes: no error", p.W, p.H, len(p.Pix))
		}
	}
}

func BenchmarkMake(b *testing.B) {
	for name, size := range map[string]image.Point{"500x375": {500, 375}, "4000x3000": {4000, 3000}} {
		b.Run(name, func(b *testing.B) {
			p := imaging.NewRGB(size.X, size.Y)
			for i := range p.Pix {
				p.Pix[i] = uint8(i*i/size.X/7 + i%251)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Make(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
