package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

// emptyVP8L returns a lossless image of one colour in 20 bytes, whatever its size: each of its
// codes has a single symbol, which takes no bits.
func emptyVP8L(side int) string {
	size := uint32(side - 1)
	head := binary.LittleEndian.AppendUint32([]byte{0x2f}, size|size<<14)
	// No transform, no colour cache, no code groups, and five simple codes of one 1-bit symbol, 0:
	// three 0 bits, then for each code the bits 1, 0, 0, 0.
	bits := uint32(0)
	for i := range 5 {
		bits |= 1 << (3 + 4*i)
	}
	return string(binary.LittleEndian.AppendUint32(head, bits)) + strings.Repeat("\x00", 11)
}

// riff returns a WebP file of chunks, each a four-letter name and an even number of bytes.
func riff(chunks ...string) []byte {
	body := []byte("WEBP")
	for _, c := range chunks {
		body = binary.LittleEndian.AppendUint32(append(body, c[:4]...), uint32(len(c)-4))
		body = append(body, c[4:]...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// canvas returns the extended header of a WebP file.
func canvas(flags uint8, side int) string {
	s := uint32(side - 1)
	c := []byte{flags, 0, 0, 0, uint8(s), uint8(s >> 8), uint8(s >> 16), uint8(s), uint8(s >> 8), uint8(s >> 16)}
	return "VP8X" + string(c)
}

// twoSizes returns files of every format that announce two sizes: a decoder must not check one and
// allocate for the other.
func twoSizes(t testing.TB) map[string][]byte {
	const exif = 8
	png := readFile(t, "decode/rgb.png")
	ihdr := bytes.Clone(png[8:33])
	copy(ihdr[8:], "\x00\x00\x40\x00\x00\x00\x40\x00")
	binary.BigEndian.PutUint32(ihdr[21:], crc32.ChecksumIEEE(ihdr[4:21]))

	gif := readFile(t, "decode/whole.gif")
	frame := bytes.IndexByte(gif[13+3<<(1+gif[10]&7):], ',') + 13 + 3<<(1+gif[10]&7)
	copy(gif[frame+5:], "\xff\xff\xff\xff")

	jpg := readFile(t, "decode/grey.jpg")
	sof, sos := bytes.Index(jpg, []byte{0xff, markSOF0}), bytes.Index(jpg, []byte{0xff, markSOS})
	second := bytes.Clone(jpg[sof : sof+13])
	copy(second[5:], "\x40\x00\x40\x00")
	scan := sos + 2 + int(binary.BigEndian.Uint16(jpg[sos+2:]))

	tif := readFile(t, "decode/grey.tif")
	at := int(binary.LittleEndian.Uint32(tif[4:]))
	for i := range int(binary.LittleEndian.Uint16(tif[at:])) {
		entry := tif[at+2+12*i:]
		if binary.LittleEndian.Uint16(entry) == tagWidth {
			// Replace the next entry, the height, by a second width.
			copy(entry[12:24], entry[:12])
			binary.LittleEndian.PutUint16(entry[20:], 16384)
		}
	}
	return map[string][]byte{
		"WebP, canvas told again behind its picture":  riff(canvas(exif, 16384), "VP8L"+emptyVP8L(16384), canvas(0, 1)),
		"WebP, canvas told behind its picture":        riff("VP8L"+emptyVP8L(16384), canvas(0, 1)),
		"WebP, canvas told twice before its picture":  riff(canvas(0, 1), canvas(0, 16384), "VP8L"+emptyVP8L(16384)),
		"WebP, picture larger than its canvas":        riff(canvas(0, 1), "VP8L"+emptyVP8L(16384)),
		"WebP, second picture larger than the first":  riff(canvas(exif, 1), "VP8L"+emptyVP8L(1), "VP8L"+emptyVP8L(16384)),
		"PNG, second header":                          append(append(bytes.Clone(png[:33]), ihdr...), png[33:]...),
		"GIF, frame larger than its screen":           gif,
		"JPEG, second frame header before its pixels": append(append(bytes.Clone(jpg[:sos]), second...), jpg[sos:]...),
		"JPEG, second frame header behind its pixels": append(append(bytes.Clone(jpg[:scan]), second...), jpg[scan:]...),
		"TIFF, width told twice":                      tif,
	}
}

// TestTwoSizes decodes them: allocations are within what was checked, and all are refused except
// the one whose second image is ignored.
func TestTwoSizes(t *testing.T) {
	for what, data := range twoSizes(t) {
		for _, lim := range []Limits{{TIFF: true}, {Side: 256, Pixels: 1 << 14, TIFF: true}} {
			var err error
			if n := allocated(func() { _, err = Decode(data, lim) }); n > allowed(data, lim) || n > 32<<20 {
				t.Errorf("%s: a file of %d bytes takes %d bytes of memory (%v)", what, len(data), n, err)
			}
			if good := strings.Contains(what, "second picture"); (err == nil) != good {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}
