package encoder_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
)

func picture(t *testing.T, w, h int, at func(x, y int) color.RGBA) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, at(x, y))
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Only the centre of a wide image counts, and red stays red: the left and right thirds are cropped.
func TestEncodeImageByHand(t *testing.T) {
	e := load(t, averager(t, 8))
	file := picture(t, 24, 8, func(x, _ int) color.RGBA {
		if x < 8 || x >= 16 {
			return color.RGBA{255, 255, 255, 255}
		}
		return color.RGBA{10, 20, 200, 255}
	})
	y, err := e.EncodeImage(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{10, 20, 200} {
		if math.Abs(float64(y[i])-want) > 1e-3 {
			t.Errorf("vector %v, want 10 20 200", y)
		}
	}
	if e.Dim() != 3 || e.Size() != 8 || e.Metadata().Training.Steps != 7 || !slices.Equal(e.Metadata().Center, []float32{1, 2, 3}) {
		t.Errorf("dim %d, size %d, metadata %+v", e.Dim(), e.Size(), e.Metadata())
	}
}

// Picture is the full image, not only the model's input.
func TestPicture(t *testing.T) {
	e := load(t, averager(t, 8))
	p := e.NewPreprocessor()
	defer p.Close()
	at := func(x, y int) color.RGBA { return color.RGBA{uint8(x), uint8(y), 9, 255} }
	for _, w := range []int{24, 16} {
		if err := p.Preprocess(picture(t, w, 8, at), make([]uint8, 3*8*8)); err != nil {
			t.Fatal(err)
		}
		m := p.Picture()
		if m.W != w || m.H != 8 || !slices.Equal(m.Pix[len(m.Pix)-3:], []uint8{uint8(w - 1), 7, 9}) {
			t.Errorf("%d x %d, the last pixel is %v", m.W, m.H, m.Pix[len(m.Pix)-3:])
		}
	}
}

// pixels returns n noise images for the model.
func pixels(e *encoder.Encoder, n int) []uint8 {
	out := make([]uint8, n*3*e.Size()*e.Size())
	x := uint32(1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = uint8(x >> 24)
	}
	return out
}

func TestVectorsDoNotDependOnTheBatch(t *testing.T) {
	e := load(t, resnet(t, 1))
	const n = 9
	all, one := pixels(e, n), 3*16*16
	want, err := e.Encode(t.Context(), all, n)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(want[:e.Dim()], want[e.Dim():2*e.Dim()]) {
		t.Fatal("two different pictures have the same vector")
	}
	for _, size := range []int{1, 2, 4} {
		for at := 0; at+size <= n; at += size {
			got, err := e.Encode(t.Context(), all[at*one:(at+size)*one], size)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if w := want[at*e.Dim()+i]; math.Abs(float64(v-w)) > 1e-5*(1+math.Abs(float64(w))) {
					t.Fatalf("batch of %d at %d: number %d is %v, %v in the batch of %d", size, at, i, v, w, n)
				}
			}
		}
	}
}

// Many goroutines, one encoder: same files, same vectors. Run with -race.
func TestConcurrentUse(t *testing.T) {
	e := load(t, resnet(t, 1))
	file := picture(t, 30, 20, func(x, y int) color.RGBA { return color.RGBA{uint8(9 * x), uint8(11 * y), uint8(x * y), 255} })
	want, err := e.EncodeImage(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			p := e.NewPreprocessor()
			defer p.Close()
			buf := make([]uint8, 3*e.Size()*e.Size())
			for range 5 {
				if err := p.Preprocess(file, buf); err != nil {
					t.Error(err)
				}
				if got, err := e.Encode(t.Context(), buf, 1); err != nil || !slices.Equal(got, want) {
					t.Errorf("%v, vectors differ", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWrongUse(t *testing.T) {
	e := load(t, averager(t, 8))
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := e.Encode(ended, pixels(e, 1), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	limited := load(t, averager(t, 8))
	limited.Limits.Pixels = 63
	square := picture(t, 8, 8, func(int, int) color.RGBA { return color.RGBA{} })
	preprocess := func(e *encoder.Encoder, file []byte, room int) error {
		p := e.NewPreprocessor()
		defer p.Close()
		return p.Preprocess(file, make([]uint8, room))
	}
	encode := func(data []uint8, n int) error { _, err := e.Encode(t.Context(), data, n); return err }
	for _, c := range []struct {
		what string
		err  error
		want string
	}{
		{"pixels missing", encode(pixels(e, 2), 3), "encode 3 pictures: 384 bytes are not [3 8 8 3]"},
		{"nothing", encode(nil, 0), "encode 0 pictures"},
		{"small buffer", preprocess(e, square, 191), "191 bytes of room, want [8 8 3]"},
		{"no picture", preprocess(e, []byte("no picture"), 192), "preprocess picture: not a JPEG, PNG, WebP"},
		{"cut picture", preprocess(e, square[:40], 192), "preprocess picture: "},
		{"large picture", preprocess(limited, square, 192), "over the limit"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, c.err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	change := func(name string, f func(*onnx.ModelProto)) string {
		m := averager(t, 8)
		f(m)
		return keep(t, name, marshal(t, m))
	}
	meta := func(key, value string) string {
		return change(key, func(m *onnx.ModelProto) { onnx.SetMetadata(m, key, value) })
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(t.TempDir(), "absent.onnx"), "no such file"},
		{t.TempDir(), "is a directory"},
		{keep(t, "empty", nil), "the file is truncated: it ends after 0 bytes"},
		{keep(t, "text", []byte("a line of text\n")), "not an ONNX model"},
		{keep(t, "cut", marshal(t, averager(t, 8))[:300]), "not an ONNX model"},
		{change("foreign", func(m *onnx.ModelProto) { m.MetadataProps = nil }), "no vicreg.format_version in its metadata"},
		{meta("vicreg.format_version", "4"), "vicreg.format_version is 4, this program reads up to 3; use a newer vicreg"},
		{meta("vicreg.format_version", "one"), `"one" is not a version`},
		{meta("vicreg.dim", "4"), "vicreg.center has 3 numbers for vicreg.dim 4"},
		{meta("vicreg.center", "{"), "metadata vicreg.center: "},
		{meta("vicreg.preprocessing", `{"crop":9,"interpolation":"bicubic"}`), `input "pixels" is uint8[-1 8 8 3], but the metadata says uint8[-1 9 9 3]`},
		{meta("vicreg.preprocessing", `{"crop":8,"interpolation":"nearest"}`), "metadata vicreg.preprocessing: "},
		{meta("vicreg.preprocessing", `{"crop":8,"interpolation":"bicubic","levels":"9:8"}`), "metadata vicreg.preprocessing: want full, auto, or LOW:HIGH"},
		{meta("vicreg.preprocessing", `{"crop":8,"interpolation":"bicubic","fit":"stretch"}`), "metadata vicreg.preprocessing: want crop, pad or squash"},
		{meta("vicreg.preprocessing", `{"crop":8,"interpolation":"bicubic","fit":"pad"}`), "metadata vicreg.preprocessing: fill, a colour, belongs to fit pad"},
		{change("outputs", func(m *onnx.ModelProto) { m.Graph.Output = append(m.Graph.Output, m.Graph.ValueInfo[0]) }), "1 inputs and 2 outputs"},
		{change("broken", func(m *onnx.ModelProto) { m.Graph.Node[0].OpType = "Nonsense" }), "load onnx model: "},
	} {
		e, err := encoder.Open(orttest.Open(t), c.path, ort.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, want %q", filepath.Base(c.path), err, c.want)
		}
		if err == nil {
			e.Close()
		}
	}
	for _, p := range averager(t, 8).MetadataProps {
		path := change("without-"+p.Key, func(m *onnx.ModelProto) {
			m.MetadataProps = slices.DeleteFunc(m.MetadataProps, func(q *onnx.StringStringEntryProto) bool { return q.Key == p.Key })
		})
		if _, err := encoder.Open(orttest.Open(t), path, ort.Options{}); err == nil || !strings.Contains(err.Error(), "no "+p.Key+" in its metadata") {
			t.Errorf("without %s: %v", p.Key, err)
		}
	}
}

func keep(t *testing.T, name string, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".onnx")
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}
