package imaging

import (
	"bytes"
	"strings"
	"testing"
)

// Size of the pictures in testdata/tiff, which scripts/golden/tiffs.py makes; its value
// and black are those here.
const tiffW, tiffH = 37, 23

func tiffValue(x, y, c int) uint8 { return uint8(7*x + 13*y + x*y + 50*c) }

func tiffBlack(x, y, _ int) uint8 {
	if (x*x+3*y)%7 < 3 {
		return 0
	}
	return 255
}

// drawn is a picture of what at gives for each channel.
func drawn(at func(x, y, c int) uint8) []uint8 {
	pix := make([]uint8, 0, 3*tiffW*tiffH)
	for y := range tiffH {
		for x := range tiffW {
			pix = append(pix, at(x, y, 0), at(x, y, 1), at(x, y, 2))
		}
	}
	return pix
}

// Where 0 is black, a fax's white is black: libtiff's reading, and that of the same
// bits without compression.
func TestFaxes(t *testing.T) {
	for _, name := range []string{"tiff/fax-group3.tif", "tiff/fax-group4.tif"} {
		file := readFile(t, name) // in which 0 is black
		m, err := Decode(file, Limits{TIFF: true})
		if err != nil {
			t.Fatal(err)
		}
		differ(t, name, m.Pix, drawn(tiffBlack), 0, 0)
		if m, err = Decode(photometric(t, file, whiteIsZero), Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		differ(t, name+" where 0 is white", m.Pix, drawn(func(x, y, c int) uint8 { return 255 - tiffBlack(x, y, c) }), 0, 0)
	}
}

// Of kinds that x/image/tiff does not read, these are.
func TestTIFFOfSeveralBands(t *testing.T) {
	for name, grey := range map[string]bool{"rgbx": false, "rgbx16-big": false, "planar": false, "planar-strips": false,
		"planar-tiles": false, "planar6": false, "planar16-big": false, "pages": true} {
		d := Decoder{Facts: new(Facts), Conversion: Conversion{Background: Background{Set: true}}} // an unknown band is no alpha
		var m RGB
		if err := d.Decode(&m, readFile(t, "tiff/"+name+".tif"), Limits{TIFF: true}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		differ(t, name, m.Pix, drawn(func(x, y, c int) uint8 {
			if grey {
				c = 0
			}
			return tiffValue(x, y, c)
		}), 0, 0)
		if d.Facts.Transparent || d.Facts.Deep != strings.Contains(name, "16") {
			t.Errorf("%s: %+v", name, d.Facts)
		}
	}
}

// A fourth band is the same by pixels and by bands: nothing, or alpha of either kind.
func TestTIFFAlphaByBands(t *testing.T) {
	for _, extra := range []byte{0, 1, 2} {
		var pictures [2]RGB
		for i, name := range []string{"rgbx", "planar4"} {
			data := readFile(t, "tiff/"+name+".tif")
			tag := []byte{0x52, 0x01, 3, 0, 1, 0, 0, 0} // ExtraSamples, one number of 16 bits
			at := bytes.Index(data, tag)
			if at < 0 {
				t.Fatalf("%s has no ExtraSamples", name)
			}
			data[at+len(tag)] = extra
			d := Decoder{Facts: new(Facts), Conversion: Conversion{Background: Background{Set: true}}}
			if err := d.Decode(&pictures[i], data, Limits{TIFF: true}); err != nil || d.Facts.Transparent != (extra > 0) {
				t.Errorf("%s, extra %d: %v, %+v", name, extra, err, d.Facts)
			}
		}
		if !bytes.Equal(pictures[0].Pix, pictures[1].Pix) {
			t.Errorf("extra %d: other pixels by bands than by pixels", extra)
		}
	}
}

func TestTIFFRefused(t *testing.T) {
	for name, want := range map[string]string{
		"big":     "BigTIFF is not supported: write it as PNG or as an ordinary TIFF, which holds up to 4 GB",
		"grey2":   "TIFF file has 2 bands, grey and another: want 1, or 3 of RGB",
		"grey3":   "TIFF file has 3 bands that are said to be no colours: want 1 of grey, or 3 of RGB (photometric interpretation 2)",
		"grey4":   "TIFF file has 4 bands that are said to be no colours: want 1 of grey, or 3 of RGB (photometric interpretation 2)",
		"rgb5":    "TIFF file has 5 bands of RGB: want 3, or 4 of which the last is alpha",
		"int16":   "TIFF file has signed numbers: want unsigned ones of 8 or 16 bits",
		"float32": "TIFF file has floating-point numbers: want unsigned whole ones of 8 or 16 bits",
		"uint32":  "TIFF file has 32 bits a channel: want 8 or 16, or 1 for black and white",
		"cmyk":    "TIFF file has CMYK: want grey, RGB or a palette",
		"jpeg":    "TIFF file is compressed with JPEG: want LZW, Deflate, PackBits, CCITT Group 3 or 4, or none",
		"ycbcr":   "TIFF file has YCbCr: want grey, RGB or a palette",
		"zstd":    "TIFF file is compressed with Zstandard: want LZW, Deflate, PackBits, CCITT Group 3 or 4, or none",
	} {
		if m, err := Decode(readFile(t, "tiff/no-"+name+".tif"), Limits{TIFF: true}); m != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestCutBands cuts files whose directory is rewritten: what is missing is noticed, and
// no more than an error.
func TestCutBands(t *testing.T) {
	for _, name := range []string{"planar", "planar-strips", "planar-tiles", "planar16-big", "rgbx"} {
		file := readFile(t, "tiff/"+name+".tif")
		for n := range len(file) {
			m, err := Decode(file[:n], Limits{TIFF: true})
			switch {
			case err == nil: // only what follows the pixels is missing
				differ(t, name, m.Pix, drawn(tiffValue), 0, 0)
			case strings.Contains(err.Error(), "decoder failed"):
				t.Fatalf("%s of %d bytes: %v", name, n, err)
			}
		}
		if _, err := Decode(file[:len(file)/2], Limits{TIFF: true}); err == nil {
			t.Errorf("half of %s was decoded", name)
		}
	}
}
