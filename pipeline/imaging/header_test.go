package imaging

import (
	"bytes"
	"strings"
	"testing"
)

// TestBrokenHeaders checks the error for everything that can be wrong before the pixels, from Probe
// and from Decode.
func TestBrokenHeaders(t *testing.T) {
	webp := func(chunks string) string {
		return "RIFF" + string([]byte{uint8(4 + len(chunks)), 0, 0, 0}) + "WEBP" + chunks
	}
	for _, c := range []struct{ data, want string }{
		{"\xff\xd8\xff\x01\xff\xd0\xff\xd9", "JPEG file contains no image"},
		{"\xff\xd8\xff\xd8", "JPEG file contains no image"},
		{"\xff\xd8\xff\xe0\x00\x01", "JPEG marker 0xe0 has a length of 1"},
		{"\xff\xd8\xff\xda\x00\x02", "JPEG file has pixels before its frame header"},
		{"\xff\xd8\xff\xc9\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00", "JPEG type SOF9 is not supported"},
		{"\xff\xd8\xff\xc0\x00\x0b\x0c\x00\x08\x00\x08\x01\x01\x11\x00", "JPEG with 12 bits per sample is not supported"},
		{"\xff\xd8\xff\xc0\x00\x0e\x08\x00\x08\x00\x08\x02\x01\x11\x00\x02\x11\x00", "JPEG with 2 components is not supported"},
		{"\xff\xd8\xff\xc0\x00\x0e\x08\x00\x08\x00\x08\x01\x01\x11\x00\x02\x11\x00", "JPEG frame header has a wrong length"},
		{"\xff\xd8" + strings.Repeat("\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00", 2), "JPEG file has two frame headers"},
		{"\xff\xd8\xff\xc0\x00\x11\x08\x00\x08\x00\x08\x03\x01\x11\x00\x02\x21\x00\x03\x21\x00", "JPEG with sampling factors 11 21 21 is not supported"},
		{"\x89PNG\r\n\x1a\n\x00\x00\x00\x00IDAT\x00\x00\x00\x00\x00\x00\x00\x00", "PNG file does not begin with its header"},
		{"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\xff\x00\x00\x00\x00\x00\x00\x08", "PNG header has sizes over 31 bits"},
		{"GIF89a\x08\x00\x08\x00\x00\x00\x00;", "GIF file contains no image"},
		{"GIF89a\x08\x00\x08\x00\x00\x00\x00?", "GIF file has a block of unknown kind 0x3f"},
		{"RIFF\xff\x00\x00\x00WEBP", "WebP file is truncated"},
		{webp(""), "WebP file contains no image"},
		{webp("VP8 \xff\x00\x00\x00"), "WebP file has a chunk that extends beyond its end"},
		{webp("VP8X\x02\x00\x00\x00\x00\x00"), "file is truncated within its header"},
		{webp("VP8 \x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2b\x08\x00\x08\x00"), "WebP file has an image without its signature"},
		{webp("VP8 \x02\x00\x00\x00\x00\x00"), "file is truncated within its header"},
		{webp("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x06\x00\x00VP8 \x0a\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\x08\x00\x08\x00"), "WebP frame of 8x8 pixels does not fit its canvas of 7x7"},
		{webp("JUNK\x00\x00\x00\x00VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x06\x00\x00"), "WebP file has its canvas (VP8X) chunk somewhere other than at the start"},
		{webp("ANMF\x10\x00\x00\x00" + strings.Repeat("\x00", 16)), "file is truncated within its header"},
		{webp("ANMF\x18\x00\x00\x00" + strings.Repeat("\x00", 24)), "WebP file has a frame without an image"},
		{webp("ANMF\x18\x00\x00\x00" + strings.Repeat("\x00", 16) + "VP8 \xff\x00\x00\x00"), "WebP file has a chunk that extends beyond its frame"},
		{"II*\x00\x08\x00\x00\x00\x00\x00", "TIFF file does not state its size"},
		{"II+\x00\x08\x00\x00\x00\x10\x00", "BigTIFF is not supported: convert it to PNG or to a classic TIFF, which holds up to 4 GB"},
		{"MM\x00+\x00\x08\x00\x00", "BigTIFF is not supported: convert it to PNG or to a classic TIFF, which holds up to 4 GB"},
		{"II*\x00\xff\xff\xff\xff", "file is truncated within its header"},
	} {
		_, perr := Probe(strings.NewReader(c.data), int64(len(c.data)))
		m, err := Decode([]byte(c.data), Limits{TIFF: true})
		if perr == nil || perr.Error() != c.want || err == nil || err.Error() != c.want || m != nil {
			t.Errorf("%q: probe: %v; decode: %v; want %q", c.data, perr, err, c.want)
		}
	}
}

// TestManyScans decodes a progressive JPEG with excessively many scans.
func TestManyScans(t *testing.T) {
	data := readFile(t, "decode/s444-progressive.jpg")
	scan := bytes.LastIndex(data, []byte{0xff, markSOS})
	many := append(bytes.Clone(data[:scan]), bytes.Repeat(data[scan:len(data)-2], 500)...)
	if _, err := Decode(many, Limits{}); err == nil || err.Error() != "JPEG file has more than 500 scans" {
		t.Error(err)
	}
	// The limit is lower for a large image: 400 scans of 4 million pixels took 5 s.
	frame := bytes.Index(data, []byte{0xff, markSOF2})
	copy(data[frame+5:], "\x07\xd0\x07\xd0")
	for scans, want := range map[int]string{400: "JPEG file has 400 scans, too many for 2000x2000 pixels", 30: "invalid JPEG format"} {
		some := bytes.Count(data[:scan], []byte{0xff, markSOS})
		file := append(bytes.Clone(data[:scan]), bytes.Repeat(data[scan:len(data)-2], scans-some)...)
		if _, err := Decode(file, Limits{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d scans: %v, want %q", scans, err, want)
		}
	}
}
