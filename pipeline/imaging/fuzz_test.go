package imaging

import (
	"bytes"
	"runtime"
	"testing"
)

// allowed returns the number of bytes that decoding a file may allocate in total: 33 per pixel,
// with sides rounded up to whole blocks, some for tables, and a multiple of the file's length. For
// a broken header or one over the limits, nothing for pixels. Lossless WebP has up to 2600 groups
// of tables, encoded in few bits; lossy WebP announces up to 512 kB, and TIFF, which no server
// accepts, 10 MB per tag.
func allowed(data []byte, lim Limits) int {
	n := 128<<10 + 16*len(data)
	f := file{data: data, size: int64(len(data))}
	h, err := f.header()
	if err != nil || lim.hold(&h) != nil || h.Format == "tiff" && !lim.TIFF {
		return n
	}
	switch {
	case h.webp.lossless:
		n += 8<<20 + 4000*len(data)
	case h.Format == "webp":
		n += 512 << 10
	case h.Format == "tiff":
		n += 64 << 20
	}
	return n + 33*((h.W+31)&^31)*((h.H+31)&^31)
}

// allocated returns the total bytes that f allocates, including those freed again.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// FuzzDecode starts from the smaller sample files of every format. Each is decoded twice, the
// second time into memory used for another image.
func FuzzDecode(f *testing.F) {
	for _, s := range samples(f) {
		if len(s.Data) < 1500 {
			f.Add(s.Data, true)
		}
	}
	for _, name := range []string{"grey.tif", "s420.jpg", "lossless.webp"} {
		f.Add(readFile(f, "decode/"+name), false)
	}
	for _, name := range []string{"planar", "planar-strips", "planar16-big", "rgbx"} {
		f.Add(readFile(f, "tiff/"+name+".tif"), true)
	}
	for _, data := range twoSizes(f) {
		f.Add(data, true)
	}
	var d Decoder
	used := NewRGB(256, 64)
	f.Fuzz(func(t *testing.T, data []byte, tiff bool) {
		lim := Limits{Side: 256, Pixels: 1 << 14, TIFF: tiff}
		var m *RGB
		var err error
		if n := allocated(func() { m, err = Decode(data, lim) }); n > allowed(data, lim) {
			t.Errorf("%d bytes are allocated for a file of %d, more than %d", n, len(data), allowed(data, lim))
		}
		for i := range used.Pix {
			used.Pix[i] = 0xa5
		}
		if again := d.Decode(used, data, lim); (again == nil) != (err == nil) || err == nil && (used.W != m.W || !bytes.Equal(used.Pix, m.Pix)) {
			t.Errorf("%v; over another picture %v, or other pixels", err, again)
		}
		if err != nil {
			if m != nil {
				t.Error("a picture and an error")
			}
			return
		}
		if len(m.Pix) != 3*m.W*m.H || lim.check(m.W, m.H) != nil {
			t.Errorf("%d bytes for %dx%d pixels", len(m.Pix), m.W, m.H)
		}
		i, err := Probe(bytes.NewReader(data), int64(len(data)))
		if err != nil || i.W != m.W || i.H != m.H || i.Format == "tiff" && !tiff {
			t.Errorf("probed as %+v with %v, decoded to %dx%d", i, err, m.W, m.H)
		}
	})
}

// FuzzProbe compares reading through a small buffer with reading from memory.
func FuzzProbe(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.Data[:min(len(s.Data), 1000)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := file{data: data, size: int64(len(data))}
		want, werr := whole.header()
		parts := file{r: bytes.NewReader(data), size: int64(len(data)), room: make([]byte, 32)}
		got, err := parts.header()
		if got != want || (err == nil) != (werr == nil) || err != nil && err.Error() != werr.Error() {
			t.Errorf("in pieces %+v, %v; in memory %+v, %v", got, err, want, werr)
		}
		if err == nil && (got.Format == "" || got.Orientation < 1 || got.Orientation > 8) {
			t.Errorf("header %+v", got)
		}
	})
}

// FuzzExif inserts the block into a good JPEG: whatever it contains, the image is decoded.
func FuzzExif(f *testing.F) {
	for _, block := range []string{
		"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00",
		"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00",
		"MM\x00*\x00\x00\x00\x08\xff\xff\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00\x03",
		"II*\x00\xff\xff\xff\xff", "II*\x00\x00\x00\x00\x00", "",
	} {
		f.Add([]byte(block))
	}
	plain := readFile(f, "decode/grey.jpg")
	f.Fuzz(func(t *testing.T, block []byte) {
		n := len(block) + 8
		if n > 0xffff {
			return
		}
		data := append([]byte{0xff, 0xd8, 0xff, 0xe1, byte(n >> 8), byte(n)}, "Exif\x00\x00"...)
		data = append(append(data, block...), plain[2:]...)
		m, err := Decode(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		i, err := Probe(bytes.NewReader(data), int64(len(data)))
		if err != nil || i.W != m.W || i.H != m.H || (i.Orientation > 4) != (m.W < m.H) {
			t.Errorf("probed as %+v with %v, decoded to %dx%d", i, err, m.W, m.H)
		}
	})
}
