package imaging

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"image"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a row of testdata/decode/cases.json, made by scripts/golden/decoding.py: a file, and
// Pillow's result.
type sample struct {
	File              string
	W, H, Orientation int
	At                int
	Data, Pix         []uint8
}

func samples(t testing.TB) []sample {
	t.Helper()
	var all []sample
	if err := json.Unmarshal(readFile(t, "decode/cases.json"), &all); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "decode/expected.bin.gz")))
	if err != nil {
		t.Fatal(err)
	}
	pix, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		s := &all[i]
		s.Data, s.Pix = readFile(t, "decode/"+s.File), pix[s.At:s.At+3*s.W*s.H]
	}
	if len(all) < 100 {
		t.Fatalf("only %d samples", len(all))
	}
	return all
}

// format returns the format name for a file's extension.
func format(file string) string {
	return map[string]string{".jpg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif", ".tif": "tiff"}[filepath.Ext(file)]
}

func TestDecodeEqualsPillow(t *testing.T) {
	var d Decoder
	defer d.Close()
	var m RGB // reused, with other images' data in it
	for _, s := range samples(t) {
		t.Run(s.File, func(t *testing.T) {
			err := d.Decode(&m, s.Data, Limits{TIFF: true})
			if refused(s.File) {
				if err == nil {
					t.Fatal("image/jpeg has learnt it: change what the documentation says")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.W != s.W || m.H != s.H {
				t.Fatalf("%dx%d, want %dx%d", m.W, m.H, s.W, s.H)
			}
			most, mean := 0, 0.
			if strings.HasSuffix(s.File, ".jpg") {
				most, mean = jpegTolerance, 0.25
			}
			differ(t, s.File, m.Pix, s.Pix, most, mean)
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	long := func(name string, at int, with string) []byte {
		data := readFile(t, "decode/"+name)
		copy(data[at:], with)
		return data
	}
	for _, c := range []struct {
		what string
		data []byte
		lim  Limits
		want string
	}{
		{"nothing", nil, Limits{}, "file is empty"},
		{"text", []byte("hello, world"), Limits{TIFF: true}, "not a JPEG, PNG, WebP, GIF or TIFF file"},
		{"text where TIFF is not wanted", []byte("hello, world"), Limits{}, "not a JPEG, PNG, WebP or GIF file"},
		{"one byte", []byte("\xff"), Limits{}, "not a JPEG"},
		{"only the name of a format", []byte("GIF89a"), Limits{}, "file is truncated within its header"},
		{"half a JPEG", readFile(t, "decode/s420.jpg")[:1000], Limits{}, "the image data is truncated: unexpected EOF"},
		{"CMYK with black halved", bytes.Replace(readFile(t, "decode/cmyk.jpg"), []byte("C\x11\x00M\x11"), []byte("C\x22\x00M\x11"), 1), Limits{}, "JPEG with sampling factors 22 11 11 11 is not supported"},
		{"zero width", long("rgb.png", 16, "\x00\x00\x00\x00"), Limits{}, "picture of 0x13 pixels is empty"},
		{"a frame of 65535 pixels", long("rgb.png", 16, "\x00\x00\xff\xff"), Limits{}, "picture of 65535x13 pixels is over the limit"},
		{"a GIF of 65535 pixels", long("whole.gif", 6, "\xff\xff"), Limits{}, "picture of 65535x9 pixels is over the limit"},
		{"a canvas of 2^24 pixels", long("animated-part-lossless.webp", 24, "\xff\xff\xff"), Limits{}, "picture of 16777216x17 pixels is over the limit"},
		{"TIFF", readFile(t, "decode/grey.tif"), Limits{}, "TIFF is accepted only as local files and training data: send it as PNG"},
	} {
		m, err := Decode(c.data, c.lim)
		if m != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestLimits checks that the limits are exact in every format.
func TestLimits(t *testing.T) {
	var d Decoder
	defer d.Close()
	var m RGB
	for _, s := range samples(t) {
		side := max(s.W, s.H)
		for _, l := range []Limits{{Side: side - 1, TIFF: true}, {Pixels: s.W*s.H - 1, TIFF: true}} {
			err := d.Decode(&m, s.Data, l)
			if l.Side+l.Pixels > 0 && (err == nil || !strings.Contains(err.Error(), "over the limit")) {
				t.Errorf("%s with %+v: %v", s.File, l, err)
			}
		}
		if err := d.Decode(&m, s.Data, Limits{Side: side, Pixels: s.W * s.H, TIFF: true}); err != nil && !refused(s.File) {
			t.Errorf("%s at its limits: %v", s.File, err)
		}
	}
}

// refused reports the one file that image/jpeg cannot decode.
func refused(file string) bool { return !turboBuilt && file == "restart-progressive420.jpg" }

// TestCutFiles truncates every file at each tenth of its length. Missing data is detected, except
// after the first frame of an animation, after the end of a JPEG, and in the directory that follows
// the pixels of a TIFF.
func TestCutFiles(t *testing.T) {
	var d Decoder
	defer d.Close()
	var m RGB
	for _, s := range samples(t) {
		end := len(s.Data)
		switch s.File {
		case "animated.gif":
			control := []byte("!\xf9\x04") // precedes each frame
			first := bytes.Index(s.Data, control) + 1
			end = first + bytes.Index(s.Data[first:], control)
		case "trailing.jpg":
			end = bytes.Index(s.Data, []byte("what comes after"))
		}
		for i := range 10 {
			n := len(s.Data) * i / 10
			_, perr := Probe(bytes.NewReader(s.Data[:n]), int64(n))
			err := d.Decode(&m, s.Data[:n], Limits{TIFF: true})
			if err == nil && n < end {
				t.Errorf("%s: cut at %d0 %% (%d bytes) it was decoded", s.File, i, n)
			}
			if err == nil && perr != nil {
				t.Errorf("%s: cut at %d0 %%: probe: %v", s.File, i, perr)
			}
		}
		if err := d.Decode(&m, s.Data[:end], Limits{TIFF: true}); err != nil && !refused(s.File) {
			t.Errorf("%s: cut where it ends: %v", s.File, err)
		}
	}
}

// TestLastBytes truncates a JPEG by a few bytes: both builds detect even a missing end marker.
func TestLastBytes(t *testing.T) {
	for _, name := range []string{"s420.jpg", "s444-progressive.jpg", "grey.jpg", "ycck420.jpg", "stray.jpg"} {
		data := readFile(t, "decode/"+name)
		for n := len(data) - 300; n < len(data); n++ {
			if _, err := Decode(data[:n], Limits{}); err == nil {
				t.Errorf("%s: decoded without its last %d bytes", name, len(data)-n)
			}
		}
	}
}

// TestDecoderForgets alternates good and broken files.
func TestDecoderForgets(t *testing.T) {
	var d Decoder
	defer d.Close()
	good, cut := readFile(t, "decode/s420.jpg"), readFile(t, "decode/ycck420.jpg")
	want, err := Decode(good, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var m RGB
	for i := range 20 {
		if err := d.Decode(&m, cut[:len(cut)*(i+1)/21], Limits{}); err == nil {
			t.Fatal("a cut file was decoded")
		}
		if err := d.Decode(&m, good, Limits{}); err != nil {
			t.Fatal(err)
		}
		differ(t, "after a broken file", m.Pix, want.Pix, 0, 0)
		if i == 10 {
			d.Close() // it must remain usable
		}
	}
}

// planes returns a noise image with chroma halved both ways.
func planes(w, h int) *image.YCbCr {
	im := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range [][]uint8{im.Y, im.Cb, im.Cr} {
		for i := range p {
			p[i] = uint8(r.Uint32())
		}
	}
	return im
}
