package imaging

import (
	"fmt"
	"hash/crc32"
	"testing"
)

// noisy returns a deterministic image with detail at every scale.
func noisy(w, h int) *RGB {
	m := NewRGB(w, h)
	for i := range m.Pix {
		m.Pix[i] = uint8(mix(uint64(i))>>58) + uint8(i*150/len(m.Pix))
	}
	return m
}

// TestApplyAllocatesNothing checks a property that the loader's speed depends on.
func TestApplyAllocatesNothing(t *testing.T) {
	src, dst := noisy(500, 375), make([]uint8, 3*224*224)
	r := Recipes()[0]
	var s Scratch
	epoch := 0
	whole := Params{Area: [2]float64{1, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, Sigma: r.Sigma[1], Jitter: [4]Op{Hue}}
	Apply(whole, src, dst, 224, &s) // grows the Scratch to its maximum
	if n := testing.AllocsPerRun(20, func() {
		Apply(r.Draw(1, epoch, "a", epoch%2), src, dst, 224, &s)
		epoch++
	}); n != 0 {
		t.Errorf("drawing and applying allocates %v times a view", n)
	}
	for _, pre := range []Preprocess{{Resize: 256}, {Fit: FitPad, Fill: Background{Set: true}}, {Fit: FitSquash}} {
		pre.Crop, pre.Interpolation = 224, "bicubic"
		if n := testing.AllocsPerRun(5, func() { Evaluate(src, dst, pre, &s) }); n != 0 {
			t.Errorf("evaluating with %v allocates %v times a picture", pre.Fit, n)
		}
	}
}

var pinnedViews = [...]uint32{0x5f17341, 0x65b33e0, 0x96d385b5}

// TestApplyPinned detects any change in the pixels derived from a seed.
func TestApplyPinned(t *testing.T) {
	src := noisy(90, 70)
	var s Scratch
	for i, r := range Recipes() {
		dst := make([]uint8, 3*32*32)
		sum := crc32.NewIEEE()
		for epoch := range 12 {
			Apply(r.Draw(5, epoch, "k", epoch%2), src, dst, 32, &s)
			sum.Write(dst)
		}
		if got := sum.Sum32(); got != pinnedViews[i] {
			t.Errorf("%s: views have checksum %#x, had %#x", r.Name, got, pinnedViews[i])
		}
	}
}

func TestApplyDoesNotDependOnScratch(t *testing.T) {
	src := noisy(90, 70)
	r := Recipes()[0]
	var used Scratch
	for epoch := range 20 {
		p := r.Draw(5, epoch, "k", 0)
		size := 8 + 5*epoch
		a, b := make([]uint8, 3*size*size), make([]uint8, 3*size*size)
		Apply(p, src, a, size, &used)
		Apply(p, src, b, size, &Scratch{})
		differ(t, fmt.Sprint("size ", size), a, b, 0, 0)
	}
}

func TestFlips(t *testing.T) {
	src := noisy(5, 5)
	for _, size := range []int{4, 5, 7} {
		p := Params{Area: [2]float64{1, 1}, Ratio: [2]float64{1, 1}}
		plain, flipped := make([]uint8, 3*size*size), make([]uint8, 3*size*size)
		Apply(p, src, plain, size, &Scratch{})
		for i := range 4 {
			p.FlipH, p.FlipV = i&1 > 0, i&2 > 0
			Apply(p, src, flipped, size, &Scratch{})
			for at := range size * size {
				x, y := at%size, at/size
				if p.FlipH {
					x = size - 1 - x
				}
				if p.FlipV {
					y = size - 1 - y
				}
				differ(t, fmt.Sprint(size, p.FlipH, p.FlipV, at), flipped[3*at:][:3], plain[3*(y*size+x):][:3], 0, 0)
			}
		}
	}
}

// turned returns pix rotated clockwise by a quarter.
func turned(pix []uint8, size int) []uint8 {
	out := make([]uint8, len(pix))
	for y := range size {
		for x := range size {
			copy(out[3*(y*size+x):][:3], pix[3*((size-1-x)*size+y):])
		}
	}
	return out
}

// Turns follow crop and flips, and move pixels without changing them; later operations see the
// turned image.
func TestTurnsAreExact(t *testing.T) {
	src := noisy(50, 31)
	r := Recipes()[0]
	for _, size := range []int{1, 8, 13} {
		for i := range 8 {
			p := r.Draw(1, i, "k", 1)
			p.FlipH, p.FlipV, p.Sigma, p.Turns = i&1 > 0, i&2 > 0, 0, 0
			want, got := make([]uint8, 3*size*size), make([]uint8, 3*size*size)
			Apply(p, src, want, size, &Scratch{})
			for p.Turns = 1; p.Turns < 4; p.Turns++ {
				want = turned(want, size)
				Apply(p, src, got, size, &Scratch{})
				differ(t, fmt.Sprint(size, p.FlipH, p.FlipV, p.Turns), got, want, 0, 0)
			}
		}
	}
}

func TestEvaluateLeavesTheRightSizeAlone(t *testing.T) {
	src := noisy(32, 32)
	for _, resize := range []int{0, 32} {
		dst := make([]uint8, len(src.Pix))
		Evaluate(src, dst, Preprocess{Resize: resize, Crop: 32, Interpolation: "bicubic"}, &Scratch{})
		differ(t, "identity", dst, src.Pix, 0, 0)
	}
}

func TestPreprocessValidate(t *testing.T) {
	for _, p := range []Preprocess{{Resize: 256, Crop: 0, Interpolation: "bicubic"}, {Resize: -1, Crop: 8, Interpolation: "bicubic"}, {Crop: 8}} {
		if p.Validate() == nil {
			t.Errorf("%+v: accepted", p)
		}
	}
}

func BenchmarkTwoViews(b *testing.B) {
	for _, size := range []int{32, 224} {
		src, r := noisy(500, 375), Recipes()[0]
		if size == 32 {
			src, r = noisy(32, 32), Recipes()[1]
		}
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dst := make([]uint8, 3*size*size)
			var s Scratch
			epoch := 0
			for b.Loop() {
				Apply(r.Draw(1, epoch, "a", 0), src, dst, size, &s)
				Apply(r.Draw(1, epoch, "a", 1), src, dst, size, &s)
				epoch++
			}
		})
	}
}

func BenchmarkResize(b *testing.B) {
	src, dst := noisy(500, 375), make([]uint8, 3*224*224)
	var s Scratch
	for b.Loop() {
		Evaluate(src, dst, Preprocess{Resize: 256, Crop: 224, Interpolation: "bicubic"}, &s)
	}
}

func BenchmarkColour(b *testing.B) {
	for name, run := range pointOps {
		b.Run(name, func(b *testing.B) {
			m := noisy(224, 224)
			var s Scratch
			for b.Loop() {
				run(&s, m.Pix, 0.9)
			}
		})
	}
	b.Run("blur", func(b *testing.B) {
		m := noisy(224, 224)
		var s Scratch
		for b.Loop() {
			s.blur(m.Pix, m.W, m.H, 1)
		}
	})
}
