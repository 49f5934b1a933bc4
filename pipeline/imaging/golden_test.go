package imaging

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// golden is a row of testdata/cases.json, made by scripts/golden/imaging.py with Pillow and
// torchvision. Result is their result.
type golden struct {
	Name, Op, File, Filter string
	W, H, At               int
	Value                  float64
	Box                    []float64
	Resize, Crop           int
	CRC                    uint32
	Tries                  []float64
	Want                   []int
	Flip                   bool
	Order                  []Op
	Values                 []float64
	Result                 []uint8
}

func goldens(t *testing.T, op string) []golden {
	t.Helper()
	var all, some []golden
	if err := json.Unmarshal(readFile(t, "cases.json"), &all); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "expected.bin.gz")))
	if err != nil {
		t.Fatal(err)
	}
	pix, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		if g.Op == op {
			g.Result = pix[g.At : g.At+3*g.W*g.H]
			some = append(some, g)
		}
	}
	if len(some) == 0 {
		t.Fatalf("no golden case of %q", op)
	}
	return some
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t testing.TB, name string) *RGB {
	t.Helper()
	m, err := Decode(readFile(t, name), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// differ fails the test if two images differ by more than allowed.
func differ(t *testing.T, name string, got, want []uint8, most int, mean float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d bytes, want %d", name, len(got), len(want))
	}
	worst, sum := 0, 0
	for i, v := range got {
		d := max(int(v)-int(want[i]), int(want[i])-int(v))
		worst, sum = max(worst, d), sum+d
	}
	if m := float64(sum) / float64(len(got)); worst > most || m > mean {
		t.Errorf("%s: differs by up to %d and %.4f in the mean, allowed are %d and %.4f", name, worst, m, most, mean)
	}
}

func TestResizeEqualsPillow(t *testing.T) {
	var s Scratch
	for _, g := range goldens(t, "resize") {
		src := load(t, g.File)
		f, err := ParseFilter(g.Filter)
		if err != nil {
			t.Fatal(err)
		}
		dst := &RGB{W: g.W, H: g.H}
		Resize(dst, src, Box{g.Box[0], g.Box[1], g.Box[2], g.Box[3]}, f, &s)
		differ(t, g.Name, dst.Pix, g.Result, 0, 0)
	}
}

var pointOps = map[string]func(s *Scratch, pix []uint8, v float64){
	"brightness": func(s *Scratch, pix []uint8, v float64) {
		s.colour(pix, 0, &Params{Jitter: [4]Op{Brightness}, Brightness: v})
	},
	"contrast": func(s *Scratch, pix []uint8, v float64) {
		s.colour(pix, 0, &Params{Jitter: [4]Op{Contrast}, Contrast: v})
	},
	"saturation": func(s *Scratch, pix []uint8, v float64) {
		s.colour(pix, 0, &Params{Jitter: [4]Op{Saturation}, Saturation: v})
	},
	"hue":  func(s *Scratch, pix []uint8, v float64) { s.colour(pix, 0, &Params{Jitter: [4]Op{Hue}, Hue: v}) },
	"grey": func(s *Scratch, pix []uint8, _ float64) { s.colour(pix, 0, &Params{Grey: true}) },
	"solarise": func(s *Scratch, pix []uint8, v float64) {
		s.colour(pix, 0, &Params{Solarise: true, Threshold: uint8(v)})
	},
}

func TestColourEqualsTorchvision(t *testing.T) {
	var s Scratch
	for op, run := range pointOps {
		for _, g := range goldens(t, op) {
			m := load(t, "rgb.png")
			run(&s, m.Pix, g.Value)
			differ(t, g.Name, m.Pix, g.Result, 0, 0)
		}
	}
}

// TestColourCube compares every third level of each channel, so that any difference in rounding
// shows.
func TestColourCube(t *testing.T) {
	var s Scratch
	for op, run := range pointOps {
		for _, g := range goldens(t, "cube "+op) {
			var pix []uint8
			for r := 0; r < 256; r += 3 {
				for g := 0; g < 256; g += 3 {
					for b := 0; b < 256; b += 3 {
						pix = append(pix, uint8(r), uint8(g), uint8(b))
					}
				}
			}
			run(&s, pix, g.Value)
			if crc := crc32.ChecksumIEEE(pix); crc != g.CRC {
				t.Errorf("%s: differs from torchvision", g.Name)
			}
		}
	}
}

func TestBlurIsGaussian(t *testing.T) {
	var s Scratch
	for _, g := range goldens(t, "blur") {
		m := load(t, "rgb.png")
		s.blur(m.Pix, m.W, m.H, g.Value)
		differ(t, g.Name, m.Pix, g.Result, 1, 0.25)
	}
}

func TestEvaluateEqualsTorchvision(t *testing.T) {
	wide := load(t, "big.png")
	var s Scratch
	for _, g := range goldens(t, "evaluate") {
		src := map[string]*RGB{"wide": wide, "tall": quarterTurned(wide)}[g.File]
		dst := make([]uint8, 3*g.Crop*g.Crop)
		Evaluate(src, dst, Preprocess{Resize: g.Resize, Crop: g.Crop, Interpolation: g.Filter}, &s)
		differ(t, g.Name, dst, g.Result, 0, 0)
	}
}

func TestCropEqualsTorchvision(t *testing.T) {
	for _, g := range goldens(t, "crop") {
		p := Params{Area: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}}
		for i, u := range g.Tries {
			p.Tries[i/4][i%4] = u
		}
		x, y, w, h := p.Crop(int(g.Box[0]), int(g.Box[1]))
		if got := [4]int{x, y, w, h}; got != [4]int(g.Want) {
			t.Errorf("%s: %v, want %v", g.Name, got, g.Want)
		}
	}
}

func TestApplyEqualsTorchvision(t *testing.T) {
	src := load(t, "big.png")
	var s Scratch
	for _, g := range goldens(t, "apply") {
		p := Params{
			Area: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, FlipH: g.Flip, Jitter: [4]Op(g.Order),
			Brightness: g.Values[0], Contrast: g.Values[1], Saturation: g.Values[2], Hue: g.Values[3],
			Solarise: g.Flip, Threshold: 128,
		}
		p.Tries[0] = [4]float64(g.Tries)
		dst := make([]uint8, 3*g.W*g.H)
		Apply(p, src, dst, g.W, &s)
		differ(t, g.Name, dst, g.Result, 0, 0)
	}
}
