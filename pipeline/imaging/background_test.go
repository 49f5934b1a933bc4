package imaging

import (
	"bytes"
	"image"
	_ "image/gif"
	"image/png"
	"math"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// alphaOf returns the alpha of each pixel of a file as other decoders see it; outside a GIF's frame
// it is 0.
func alphaOf(t *testing.T, s sample) []uint8 {
	t.Helper()
	decode := func() (image.Image, error) {
		switch format(s.File) {
		case "webp":
			return webp.Decode(bytes.NewReader(s.Data))
		case "tiff":
			return tiff.Decode(bytes.NewReader(s.Data))
		}
		m, _, err := image.Decode(bytes.NewReader(s.Data))
		return m, err
	}
	im, err := decode()
	if err != nil {
		t.Fatal(s.File, err)
	}
	alpha := make([]uint8, s.W*s.H)
	for i := range alpha {
		if at := image.Pt(i%s.W, i/s.W); at.In(im.Bounds()) {
			_, _, _, a := im.At(at.X, at.Y).RGBA()
			alpha[i] = uint8(a >> 8)
		}
	}
	return alpha
}

// laid composites a value with the given alpha onto a background, rounding once.
func laid(v, alpha, back uint8) uint8 {
	return uint8(math.Floor((float64(v)*float64(alpha)+float64(back)*float64(255-alpha))/255 + 0.5))
}

func TestBackground(t *testing.T) {
	back := [3]uint8{10, 200, 255}
	on := Decoder{Conversion: Conversion{Background: Background{true, back[0], back[1], back[2]}}, Facts: new(Facts)}
	plain := Decoder{Facts: new(Facts)}
	defer on.Close()
	defer plain.Close()
	var got, want RGB
	clear := map[string]int{}
	for _, s := range samples(t) {
		if format(s.File) == "jpeg" || s.Orientation != 1 || strings.HasPrefix(s.File, "animated") && format(s.File) == "webp" {
			continue
		}
		if err := plain.Decode(&want, s.Data, Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		transparent := false
		for i, a := range alphaOf(t, s) {
			transparent = transparent || a < 255
			for c := range 3 {
				want.Pix[3*i+c] = laid(want.Pix[3*i+c], a, back[c])
			}
		}
		if transparent {
			clear[format(s.File)]++
		}
		if err := on.Decode(&got, s.Data, Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		differ(t, s.File, got.Pix, want.Pix, 0, 0)
		if on.Facts.Transparent != transparent || plain.Facts.Transparent != transparent {
			t.Errorf("%s: %+v and %+v, transparent is %v", s.File, on.Facts, plain.Facts, transparent)
		}
	}
	for _, f := range []string{"png", "webp", "gif"} {
		if clear[f] < 2 {
			t.Errorf("only %d samples of %s are transparent", clear[f], f)
		}
	}
}

// For an animated WebP the background also fills the canvas outside the first frame.
func TestBackgroundOfAnimations(t *testing.T) {
	for _, name := range []string{"animated-part-lossless.webp", "animated-part-lossy.webp"} {
		d := Decoder{Conversion: Conversion{Background: Background{true, 1, 2, 3}}, Facts: new(Facts)}
		var m RGB
		data := readFile(t, "decode/"+name)
		if err := d.Decode(&m, data, Limits{}); err != nil {
			t.Fatal(err)
		}
		f := file{data: data, size: int64(len(data))}
		h, err := f.header()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Decode(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		w, free := h.webp, 0
		for i := range m.W * m.H {
			x, y := i%m.W, i/m.W
			want := [3]uint8(plain.Pix[3*i:])
			if x < w.x || y < w.y || x >= w.x+w.w || y >= w.y+w.h {
				want, free = [3]uint8{1, 2, 3}, free+1
			}
			if got := [3]uint8(m.Pix[3*i:]); got != want {
				t.Fatalf("%s: pixel %d,%d is %v, want %v", name, x, y, got, want)
			}
		}
		if free == 0 || !d.Facts.Transparent {
			t.Errorf("%s: %d pixels are free, %+v", name, free, d.Facts)
		}
	}
}

// Colours stored premultiplied are divided by alpha first, with 16 bits, too.
func TestBackgroundOfDeepPictures(t *testing.T) {
	v := raw()
	file := deepFiles(t, v)["alpha.png"]
	straight, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	multiplied := image.NewRGBA64(straight.Bounds())
	for i := range levelW * levelH {
		multiplied.Set(i%levelW, i/levelW, straight.At(i%levelW, i/levelW))
	}
	var b bytes.Buffer
	if err := tiff.Encode(&b, multiplied, nil); err != nil {
		t.Fatal(err)
	}
	d := Decoder{Conversion: Conversion{Levels: Levels{Low: 1000, High: 5095}, Background: Background{true, 50, 60, 70}}}
	var got, again RGB
	if err := d.Decode(&got, file, Limits{}); err != nil {
		t.Fatal(err)
	}
	for i := range levelW * levelH {
		for c, back := range []uint8{50, 60, 70} {
			x := min(max((float64(v[4*i+c])-1000)/4095, 0), 1)
			if want := laid(uint8(math.Floor(255*x+0.5)), uint8(v[4*i+3]>>8), back); got.Pix[3*i+c] != want {
				t.Fatalf("pixel %d: %d, want %d", i, got.Pix[3*i+c], want)
			}
		}
	}
	if err := d.Decode(&again, b.Bytes(), Limits{TIFF: true}); err != nil {
		t.Fatal(err)
	}
	differ(t, "multiplied", again.Pix, got.Pix, 2, 0.1) // low alpha leaves few distinct values
}

func TestBackgroundText(t *testing.T) {
	for text, want := range map[string]Background{"": {}, "#000000": {Set: true}, "#ff8001": {true, 255, 128, 1}} {
		b := Background{true, 1, 2, 3}
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want || b.String() != text {
			t.Errorf("%s: %+v, %v", text, b, err)
		}
	}
	for _, text := range []string{"white", "#", "#fff", "ffffff", "#fffffff", "#ggffff", "#+fffff", "#ffffff "} {
		b := Background{true, 1, 2, 3}
		if err := b.UnmarshalText([]byte(text)); err == nil || b != (Background{true, 1, 2, 3}) {
			t.Errorf("%q was taken for %v", text, b)
		}
	}
}
