package imaging

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Size of the images in testdata/tiff, which scripts/golden/tiffs.py makes; tiffValue and tiffBlack
// are its value and black.
const tiffW, tiffH = 37, 23

func tiffValue(x, y, c int) uint8 { return uint8(7*x + 13*y + x*y + 50*c) }

func tiffBlack(x, y, _ int) uint8 {
	if (x*x+3*y)%7 < 3 {
		return 0
	}
	return 255
}

// drawn returns an image with the values of at for each channel.
func drawn(at func(x, y, c int) uint8) []uint8 {
	pix := make([]uint8, 0, 3*tiffW*tiffH)
	for y := range tiffH {
		for x := range tiffW {
			pix = append(pix, at(x, y, 0), at(x, y, 1), at(x, y, 2))
		}
	}
	return pix
}

// If 0 is black, a fax's white is black: that is libtiff's reading, and that of the same bits
// without compression.
func TestFaxes(t *testing.T) {
	for _, name := range []string{"tiff/fax-group3.tif", "tiff/fax-group4.tif"} {
		file := readFile(t, name) // with 0 as black
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

// These kinds are supported although x/image/tiff does not read them.
func TestTIFFOfSeveralBands(t *testing.T) {
	for name, grey := range map[string]bool{"rgbx": false, "rgbx16-big": false, "planar": false, "planar-strips": false,
		"planar-tiles": false, "planar6": false, "planar16-big": false, "pages": true} {
		d := Decoder{Facts: new(Facts), Conversion: Conversion{Background: Background{Set: true}}} // an unspecified band is not alpha
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

// A fourth band is read alike from interleaved and planar files: ignored, or alpha of either kind.
func TestTIFFAlphaByBands(t *testing.T) {
	for _, extra := range []byte{0, 1, 2} {
		var pictures [2]RGB
		for i, name := range []string{"rgbx", "planar4"} {
			data := readFile(t, "tiff/"+name+".tif")
			tag := []byte{0x52, 0x01, 3, 0, 1, 0, 0, 0} // ExtraSamples, one 16-bit value
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

// tiffOf returns a file of 3 x 2 pixels, in one strip or, if planar, one per band. It has a bit
// depth per band and, unless they are negative, tags for the number of samples and for the type of
// the fourth. Sample c of pixel i is 10*i+c, with 16 bits 257 times that.
func tiffOf(order binary.AppendByteOrder, bits, bands, samples, extra int, planar bool) []byte {
	const w, h = 3, 2
	depth, planes := bits/8, 1
	if planar {
		planes = bands
	}
	size := w * h * bands * depth / planes // per strip
	type entry struct {
		tag, kind uint16
		values    []uint32
	}
	repeat := func(n int, v uint32) []uint32 { return slices.Repeat([]uint32{v}, n) }
	strips := make([]uint32, planes)
	entries := []entry{{tagWidth, 3, []uint32{w}}, {tagHeight, 3, []uint32{h}}, {tagBits, 3, repeat(bands, uint32(bits))}, {tagCompression, 3, []uint32{1}},
		{tagPhotometric, 3, []uint32{rgb}}, {tagStripOffsets, 4, strips}}
	if samples >= 0 {
		entries = append(entries, entry{tagSamples, 3, []uint32{uint32(samples)}})
	}
	entries = append(entries, entry{278, 3, []uint32{h}}, entry{tagStripCounts, 4, repeat(planes, uint32(size))})
	if planar {
		entries = append(entries, entry{tagPlanar, 3, []uint32{2}})
	}
	if extra >= 0 {
		entries = append(entries, entry{tagExtra, 3, []uint32{uint32(extra)}})
	}
	entries = append(entries, entry{34665, 4, []uint32{0}}) // a further entry after it
	number := func(b []byte, kind uint16, v uint32) []byte {
		if kind == 3 {
			return order.AppendUint16(b, uint16(v))
		}
		return order.AppendUint32(b, v)
	}
	at := 8 + 2 + 12*len(entries) + 4 // offset of lists too long for an entry
	pixels := at + 100                // after all of them
	for i := range strips {
		strips[i] = uint32(pixels + i*size)
	}
	file := append(order.AppendUint16(nil, 0x4949), 42, 0)
	if order.AppendUint16(nil, 1)[0] == 0 {
		file = []byte("MM\x00*")
	}
	file = order.AppendUint16(order.AppendUint32(file, 8), uint16(len(entries)))
	var lists []byte
	for _, e := range entries {
		var list []byte
		for _, v := range e.values {
			list = number(list, e.kind, v)
		}
		file = order.AppendUint32(order.AppendUint16(order.AppendUint16(file, e.tag), e.kind), uint32(len(e.values)))
		if len(list) <= 4 {
			file = append(file, append(list, make([]byte, 4-len(list))...)...)
			continue
		}
		file, lists = order.AppendUint32(file, uint32(at+len(lists))), append(lists, list...)
	}
	file = append(append(file, make([]byte, 4)...), lists...)
	file = append(file, make([]byte, pixels-len(file))...)
	for n := range w * h * bands {
		v := 10*(n/bands) + n%bands
		if planar {
			v = 10*(n%(w*h)) + n/(w*h)
		}
		if depth == 1 {
			file = append(file, uint8(v))
		} else {
			file = order.AppendUint16(file, uint16(257*v))
		}
	}
	return file
}

// As read by Pillow 13.0: a fourth band without a type is alpha that is not premultiplied. Unlike
// Pillow, RGB without a sample count is read, too: the count follows from the bit depths.
func TestTIFFThatSaysTooLittle(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, bits := range []int{8, 16} {
			for _, planar := range []bool{false, true} {
				for _, c := range []struct {
					bands, samples, extra int
					alpha                 bool
				}{{4, 4, -1, true}, {4, 4, 0, false}, {4, 4, 2, true}, {4, -1, -1, true}, {4, -1, 0, false}, {3, -1, -1, false}, {3, 3, -1, false}} {
					name := fmt.Sprint(order, bits, planar, c)
					file := tiffOf(order, bits, c.bands, c.samples, c.extra, planar)
					d := Decoder{Facts: new(Facts)}
					var m RGB
					if err := d.Decode(&m, file, Limits{TIFF: true}); err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					var want []uint8
					for i := range 6 {
						want = append(want, uint8(10*i), uint8(10*i+1), uint8(10*i+2))
					}
					differ(t, name, m.Pix, want, 0, 0)
					if d.Facts.Transparent != c.alpha {
						t.Errorf("%s: transparent %v", name, d.Facts.Transparent)
					}
				}
			}
		}
	}
	_, err := Decode(tiffOf(binary.LittleEndian, 8, 3, 1, -1, false), Limits{TIFF: true})
	if err == nil || !strings.Contains(err.Error(), "TIFF file has 1 bands of RGB") {
		t.Errorf("of one sample with bits of three: %v", err)
	}
}

func TestTIFFRefused(t *testing.T) {
	for name, want := range map[string]string{
		"big":     "BigTIFF is not supported: convert it to PNG or to a classic TIFF, which holds up to 4 GB",
		"grey2":   "TIFF file has 2 bands, grey and another: want 1, or 3 of RGB",
		"grey3":   "TIFF file has 3 bands that are not marked as colours: want 1 of grey, or 3 of RGB (photometric interpretation 2)",
		"grey4":   "TIFF file has 4 bands that are not marked as colours: want 1 of grey, or 3 of RGB (photometric interpretation 2)",
		"rgb5":    "TIFF file has 5 bands of RGB: want 3, or 4 of which the last is alpha",
		"int16":   "TIFF file has signed samples: want unsigned ones of 8 or 16 bits",
		"float32": "TIFF file has floating-point samples: want unsigned integers of 8 or 16 bits",
		"uint32":  "TIFF file has 32 bits per channel: want 8 or 16, or 1 for black and white",
		"cmyk":    "TIFF file has CMYK: want grey, RGB or a palette",
		"jpeg":    "TIFF file is compressed with JPEG: want LZW, Deflate, PackBits, CCITT Group 3 or 4, or no compression",
		"ycbcr":   "TIFF file has YCbCr: want grey, RGB or a palette",
		"zstd":    "TIFF file is compressed with Zstandard: want LZW, Deflate, PackBits, CCITT Group 3 or 4, or no compression",
	} {
		if m, err := Decode(readFile(t, "tiff/no-"+name+".tif"), Limits{TIFF: true}); m != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestCutBands truncates files whose directory is rewritten: missing data is detected, and causes
// an ordinary error.
func TestCutBands(t *testing.T) {
	for _, name := range []string{"planar", "planar-strips", "planar-tiles", "planar16-big", "rgbx"} {
		file := readFile(t, "tiff/"+name+".tif")
		for n := range len(file) {
			m, err := Decode(file[:n], Limits{TIFF: true})
			switch {
			case err == nil: // only data after the pixels is missing
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
