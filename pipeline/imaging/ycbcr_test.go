package imaging

import (
	"image"
	"math/rand/v2"
	"testing"
)

// TestColourTableIsLibjpegs compares with the arithmetic of jdcolor.c.
func TestColourTableIsLibjpegs(t *testing.T) {
	const half = 1 << 15
	table := newColourTable()
	var luma, cb, cr [256]uint8
	dst := make([]uint8, 3*256)
	for b := range 256 {
		for r := range 256 {
			for y := range luma {
				luma[y], cb[y], cr[y] = uint8(y), uint8(b), uint8(r)
			}
			table.convert(dst, luma[:], cb[:], cr[:])
			red := (91881*(r-128) + half) >> 16
			green := (-22554*(b-128) + half - 46802*(r-128)) >> 16
			blue := (116130*(b-128) + half) >> 16
			for y := range luma {
				want := [3]uint8{clip(int32(y + red)), clip(int32(y + green)), clip(int32(y + blue))}
				if got := [3]uint8(dst[3*y:]); got != want {
					t.Fatalf("y %d cb %d cr %d: %v, want %v", y, b, r, got, want)
				}
			}
		}
	}
}

// TestDoubleInWords compares eight samples at a time with one at a time.
func TestDoubleInWords(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for w := 1; w < 60; w++ {
		near, far := make([]uint8, w), make([]uint8, w)
		for i := range near {
			near[i], far[i] = uint8(r.Uint32()), uint8(r.Uint32())
			if w%3 == 0 { // the largest sums
				near[i], far[i] = 255, 255
			}
		}
		got, want := make([]uint8, 2*w), make([]uint8, 2*w)
		sum := func(x int) int { x = min(max(x, 0), w-1); return 3*int(near[x]) + int(far[x]) }
		for x := range near {
			want[2*x], want[2*x+1] = uint8((3*sum(x)+sum(x-1)+8)>>4), uint8((3*sum(x)+sum(x+1)+7)>>4)
		}
		double(got, near, far, 8, 7)
		differ(t, "doubled row", got, want, 0, 0)
	}
}

// TestChromaQuartered replicates each sample over four pixels and two rows.
func TestChromaQuartered(t *testing.T) {
	const w, h = 13, 7
	r := image.Rect(0, 0, w, h)
	im, whole := image.NewYCbCr(r, image.YCbCrSubsampleRatio410), image.NewYCbCr(r, image.YCbCrSubsampleRatio444)
	for y := range h {
		for x := range w {
			im.Y[im.YOffset(x, y)], whole.Y[whole.YOffset(x, y)] = uint8(9*x), uint8(9*x)
			c := whole.COffset(x, y)
			whole.Cb[c], whole.Cr[c] = uint8(100+9*(x/4)), uint8(90+9*(y/2))
			im.Cb[im.COffset(x, y)], im.Cr[im.COffset(x, y)] = whole.Cb[c], whole.Cr[c]
		}
	}
	var u upsampler
	got, want := NewRGB(w, h), NewRGB(w, h)
	u.fill(got, im, nil, "ycc")
	u.fill(want, whole, nil, "ycc")
	differ(t, "4:1:0", got.Pix, want.Pix, 0, 0)
}
