package imaging

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestProbeTellsWhatDecodeFinds(t *testing.T) {
	var p Prober
	for _, s := range samples(t) {
		i, err := p.Probe(bytes.NewReader(s.Data), int64(len(s.Data)))
		if err != nil {
			t.Errorf("%s: %v", s.File, err)
			continue
		}
		if want := (Info{format(s.File), s.W, s.H, s.Orientation, deepFile(s.File)}); i != want {
			t.Errorf("%s: %+v, want %+v", s.File, i, want)
		}
	}
}

// deepFile reports, by a sample's name, whether it has 16 bits per channel.
func deepFile(name string) bool { return strings.Contains(name, "16.") }

// counted counts the reads of a file.
type counted struct {
	r     io.ReaderAt
	calls int
	bytes int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.calls, c.bytes = c.calls+1, c.bytes+len(p)
	return c.r.ReadAt(p, off)
}

// TestProbeReadsLittle has a large EXIF block before the frame header: one read for the start, one
// after the block.
func TestProbeReadsLittle(t *testing.T) {
	data := readFile(t, "decode/turned-large.jpg")
	if len(data) < 25_000 {
		t.Fatalf("a file of only %d bytes", len(data))
	}
	c := &counted{r: bytes.NewReader(data)}
	if _, err := Probe(c, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if c.calls > 2 || c.bytes > 8192 {
		t.Errorf("%d reads of %d bytes in all", c.calls, c.bytes)
	}
}

func TestProbeDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"turned-large.jpg", "rgb.png", "turned6.webp", "animated.gif", "turned8.tif"} {
		data := readFile(t, "decode/"+name)
		r := bytes.NewReader(data)
		var p Prober
		if n := testing.AllocsPerRun(100, func() {
			if _, err := p.Probe(r, int64(len(data))); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestProbeFailures(t *testing.T) {
	data := readFile(t, "decode/turned-large.jpg")
	n := int64(len(data))
	broken := errors.New("disk on fire")
	for bad := range len(data) {
		// One byte of the file is unreadable, and so is any read that includes it: with a small
		// buffer every part of the header is hit once.
		failing := readerAt(func(p []byte, off int64) (int, error) {
			if off <= int64(bad) && int64(bad) < off+int64(len(p)) {
				return 0, broken
			}
			return bytes.NewReader(data).ReadAt(p, off)
		})
		f := file{r: failing, size: n, room: make([]byte, 32)}
		h, err := f.header()
		if err != nil && !errors.Is(err, broken) || err == nil && h.Orientation != 5 {
			t.Fatalf("byte %d cannot be read: %+v, %v", bad, h.Info, err)
		}
	}
	// The file was truncated after its size was determined.
	if _, err := Probe(bytes.NewReader(data[:9000]), n); err != errHeaderCut {
		t.Errorf("a file that shrank: %v", err)
	}
	if _, err := Probe(bytes.NewReader(nil), 0); err == nil || err.Error() != "file is empty" {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := Probe(readerAt(func([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }), 100); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a disk that does not answer: %v", err)
	}
}

type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// TestJunkIsNotWalkedWithoutEnd has a JPEG whose first segment is followed by a gigabyte of zeros.
func TestJunkIsNotWalkedWithoutEnd(t *testing.T) {
	c := &counted{r: readerAt(func(p []byte, off int64) (int, error) {
		clear(p)
		if off == 0 {
			copy(p, "\xff\xd8\xff\xfe\x00\x02")
		}
		return len(p), nil
	})}
	if _, err := Probe(c, 1<<30); err == nil || c.bytes > 1<<17 {
		t.Errorf("%v after %d bytes", err, c.bytes)
	}
}

func TestOrientations(t *testing.T) {
	// Each letter is a pixel; rows as described in EXIF 2.32, 4.6.4 A.
	stored := "abcdef" // abc over def
	for o, want := range map[int]string{2: "cbafed", 3: "fedcba", 4: "defabc", 5: "adbecf", 6: "daebfc", 7: "fcebda", 8: "cfbead"} {
		m, dst := NewRGB(3, 2), new(RGB)
		for i := range m.Pix {
			m.Pix[i] = stored[i/3]
		}
		orient(dst, m, o)
		if w, h := 2, 3; o > 4 && (dst.W != w || dst.H != h) || o < 5 && (dst.W != h || dst.H != w) {
			t.Errorf("orientation %d: %dx%d", o, dst.W, dst.H)
		}
		for i, v := range dst.Pix {
			if v != want[i/3] {
				t.Errorf("orientation %d: pixel %d is %c, want %c", o, i/3, v, want[i/3])
			}
		}
	}
}

// BenchmarkProbe reads a header that follows a large EXIF block.
func BenchmarkProbe(b *testing.B) {
	name := "decode/turned-large.jpg"
	data := readFile(b, name)
	var p Prober
	probe := func(b *testing.B, r io.ReaderAt) {
		if _, err := p.Probe(r, int64(len(data))); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("memory", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			probe(b, bytes.NewReader(data))
		}
	})
	b.Run("file", func(b *testing.B) {
		for b.Loop() {
			f, err := os.Open(filepath.Join("testdata", name))
			if err != nil {
				b.Fatal(err)
			}
			probe(b, f)
			f.Close()
		}
	})
}
