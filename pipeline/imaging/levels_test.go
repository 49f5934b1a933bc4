package imaging

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/image/tiff"
)

const levelW, levelH = 21, 17

// raw returns random values of three colours and alpha, the colours mostly between 1000 and 5095.
func raw() []uint16 {
	r := rand.New(rand.NewPCG(7, 9))
	v := make([]uint16, 4*levelW*levelH)
	for i := range v {
		v[i] = uint16(1000 + r.IntN(4096))
		if i%4 == 3 || r.IntN(250) == 0 {
			v[i] = uint16(r.Uint32())
		}
	}
	return v
}

// deepFiles encodes images of those values; the grey ones use red.
func deepFiles(t *testing.T, v []uint16) map[string][]byte {
	t.Helper()
	box := image.Rect(0, 0, levelW, levelH)
	grey, colour, alpha := image.NewGray16(box), image.NewRGBA64(box), image.NewNRGBA64(box)
	for i := range levelW * levelH {
		x, y := i%levelW, i/levelW
		grey.SetGray16(x, y, color.Gray16{Y: v[4*i]})
		colour.SetRGBA64(x, y, color.RGBA64{R: v[4*i], G: v[4*i+1], B: v[4*i+2], A: 0xffff})
		alpha.SetNRGBA64(x, y, color.NRGBA64{R: v[4*i], G: v[4*i+1], B: v[4*i+2], A: v[4*i+3]})
	}
	files := map[string][]byte{}
	for name, im := range map[string]image.Image{"grey": grey, "colour": colour, "alpha": alpha} {
		var b bytes.Buffer
		if err := png.Encode(&b, im); err != nil {
			t.Fatal(err)
		}
		files[name+".png"] = bytes.Clone(b.Bytes())
		b.Reset()
		if err := tiff.Encode(&b, im, &tiff.Options{Compression: tiff.Deflate}); err != nil {
			t.Fatal(err)
		}
		files[name+".tif"] = b.Bytes()
	}
	// The same values with 0 as white.
	files["white.tif"] = photometric(t, files["grey.tif"], 0)
	return files
}

// photometric returns a little-endian TIFF file with a different photometric interpretation.
func photometric(t *testing.T, file []byte, as byte) []byte {
	t.Helper()
	file = bytes.Clone(file)
	at := bytes.Index(file, []byte{0x06, 0x01, 3, 0, 1, 0, 0, 0})
	if at < 0 {
		t.Fatal("no photometric interpretation in the file")
	}
	file[at+8] = as
	return file
}

// colours returns the colour values in a file of that name, pixel by pixel.
func colours(name string, v []uint16) (all []uint16) {
	for i := 0; i < len(v); i += 4 {
		if name == "grey.png" || name == "grey.tif" || name == "white.tif" {
			all = append(all, v[i])
		} else {
			all = append(all, v[i:i+3]...)
		}
	}
	return all
}

func TestLevels(t *testing.T) {
	v := raw()
	var d Decoder // shared, to check that it does not keep the previous levels
	defer d.Close()
	var m RGB
	for name, file := range deepFiles(t, v) {
		values := colours(name, v)
		sorted := slices.Sorted(slices.Values(values))
		at := func(share float64) uint16 { return sorted[int(math.Ceil(share*float64(len(sorted))))-1] }
		for _, c := range []struct {
			levels    Levels
			low, high uint16
		}{
			{Levels{Low: 1000, High: 5095}, 1000, 5095},
			{Levels{Auto: true}, at(0.005), at(0.995)},
			{Levels{High: 1}, 0, 1},
			{Levels{High: 65535}, 0, 65535},
			{Levels{}, 0, 0},
		} {
			d.Conversion.Levels = c.levels
			if err := d.Decode(&m, file, Limits{TIFF: true}); err != nil {
				t.Fatal(name, err)
			}
			for i := range m.Pix {
				value := values[i*len(values)/len(m.Pix)]
				want := uint8(value >> 8)
				if c.high > 0 {
					x := (float64(value) - float64(c.low)) / (float64(c.high) - float64(c.low))
					want = uint8(math.Floor(255*min(max(x, 0), 1) + 0.5))
				}
				if name == "white.tif" {
					want = 255 - want
				}
				if m.Pix[i] != want {
					t.Fatalf("%s, levels %v: byte %d of value %d is %d, want %d", name, c.levels, i, value, m.Pix[i], want)
				}
			}
		}
	}
}

// flat returns an image of a single value, except for the last few pixels.
func flat(t *testing.T, value, last uint16, few int) []byte {
	t.Helper()
	im := image.NewGray16(image.Rect(0, 0, 100, 100))
	for i := range 10_000 {
		im.SetGray16(i%100, i/100, color.Gray16{Y: value})
		if i >= 10_000-few {
			im.SetGray16(i%100, i/100, color.Gray16{Y: last})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAutomaticLevelsOfFlatPictures(t *testing.T) {
	for _, c := range []struct {
		file        []byte
		first, last uint8
	}{
		{flat(t, 9, 9, 1), 0, 0},          // a single value is black
		{flat(t, 65535, 65535, 1), 0, 0},  // whatever it is
		{flat(t, 0, 40_000, 3), 0, 255},   // too few for a percentile, but visible
		{flat(t, 500, 600, 5000), 0, 255}, // a half
	} {
		var d Decoder
		var m RGB
		d.Conversion.Levels.Auto = true
		if err := d.Decode(&m, c.file, Limits{}); err != nil {
			t.Fatal(err)
		}
		if m.Pix[0] != c.first || m.Pix[len(m.Pix)-1] != c.last {
			t.Errorf("from %d to %d, want %d to %d", m.Pix[0], m.Pix[len(m.Pix)-1], c.first, c.last)
		}
	}
}

// With a background, colours hidden by alpha do not count for automatic levels; without one, where
// they are visible, and in an image of nothing else, they do.
func TestAutomaticLevelsOfHiddenColours(t *testing.T) {
	picture := func(shown int) []byte {
		im := image.NewNRGBA64(image.Rect(0, 0, 100, 10))
		for i := range 1000 {
			c := color.NRGBA64{R: 60_000, G: 1, B: 40_000, A: 0xff} // only the high byte counts
			if i < shown {
				v := uint16(1000 + i%11*100)
				c = color.NRGBA64{R: v, G: v, B: v, A: 0xffff}
			}
			im.SetNRGBA64(i%100, i/100, c)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, im); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	white := Background{true, 255, 255, 255}
	for _, c := range []struct {
		shown             int
		back              Background
		low, high         uint16
		first, sixth, end uint8
	}{
		{500, white, 1000, 2000, 0, 128, 255},
		{500, Background{}, 1, 60_000, 4, 6, 170},
		{0, white, 1, 60_000, 255, 255, 255},
	} {
		d := Decoder{Facts: new(Facts), Conversion: Conversion{Levels: Levels{Auto: true}, Background: c.back}}
		var m RGB
		if err := d.Decode(&m, picture(c.shown), Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := [3]uint8{m.Pix[0], m.Pix[15], m.Pix[len(m.Pix)-1]}; got != [3]uint8{c.first, c.sixth, c.end} {
			t.Errorf("%+v: pixels %v", c, got)
		}
		if f := *d.Facts; f.Inner != [2]uint16{c.low, c.high} || f.Low != c.low || f.High != c.high || !f.Transparent {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// 8-bit images are unaffected by levels.
func TestLevelsLeaveBytesAlone(t *testing.T) {
	var plain, leveled Decoder
	defer plain.Close()
	defer leveled.Close()
	var want, got RGB
	for _, s := range samples(t) {
		if deepFile(s.File) || refused(s.File) {
			continue
		}
		if err := plain.Decode(&want, s.Data, Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		for _, l := range []Levels{{Auto: true}, {Low: 3, High: 100}} {
			leveled.Conversion.Levels = l
			if err := leveled.Decode(&got, s.Data, Limits{TIFF: true}); err != nil || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("%s with levels %v: %v, or other pixels", s.File, l, err)
			}
		}
	}
}

func TestFactsOfDeepPictures(t *testing.T) {
	v := raw()
	d := Decoder{Facts: new(Facts), Conversion: Conversion{Levels: Levels{Low: 4, High: 7}}}
	var m RGB
	for name, file := range deepFiles(t, v) {
		if err := d.Decode(&m, file, Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		sorted := slices.Sorted(slices.Values(colours(name, v)))
		n := len(sorted)
		want := Facts{Deep: true, Low: sorted[0], High: sorted[n-1], Inner: [2]uint16{sorted[(5*n+999)/1000-1], sorted[(995*n+999)/1000-1]}}
		got := *d.Facts
		if got.Deep != want.Deep || got.Low != want.Low || got.High != want.High || got.Inner != want.Inner {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if err := d.Decode(&m, readFile(t, "decode/rgb.png"), Limits{}); err != nil || *d.Facts != (Facts{}) {
		t.Errorf("%v; of a picture of 8 bits %+v", err, *d.Facts)
	}
}

func TestLevelsText(t *testing.T) {
	for text, want := range map[string]Levels{"full": {}, "auto": {Auto: true}, "0:4095": {High: 4095}, "1000:65535": {Low: 1000, High: 65535}} {
		l := Levels{Low: 1, High: 2}
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want || l.String() != text || l.Validate() != nil {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "Full", "5", ":", "5:", ":5", "5:5", "6:5", "-1:5", "0:65536", "0:1.5", "0:1:2", " 0:1", "0x1:5"} {
		l := Levels{Low: 1, High: 2}
		if err := l.UnmarshalText([]byte(text)); err == nil || l != (Levels{Low: 1, High: 2}) {
			t.Errorf("%q was taken for %v", text, l)
		}
	}
	for _, l := range []Levels{{Low: 5}, {Low: 5, High: 5}, {Auto: true, High: 3}} {
		if (Preprocess{Crop: 8, Interpolation: "bicubic", Conversion: Conversion{Levels: l}}).Validate() == nil {
			t.Errorf("%+v passed", l)
		}
	}
	var c Conversion
	if b, err := json.Marshal(c); err != nil || string(b) != "{}" {
		t.Errorf("the default is written as %s, %v", b, err)
	}
}
