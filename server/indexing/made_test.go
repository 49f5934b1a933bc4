package indexing

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// colour returns the file of a model whose vector is the red, green and blue of a picture scaled
// down to one pixel, in units of unit. Models of different units have different fingerprints. Its
// mean is center.
func colour(t *testing.T, unit float64, center ...float32) string {
	t.Helper()
	model, err := orttest.Pixels(1, 1/unit)
	if err != nil {
		t.Fatal(err)
	}
	if center == nil {
		center = make([]float32, 3)
	}
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: 1, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3, Center: center}
	if err := about.Attach(model); err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "colour.onnx")
	put(t, path, file)
	return path
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// filled returns a PNG file of one colour.
func filled(t *testing.T, r, g, b uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 10, 9))
	for y := range 9 {
		for x := range 10 {
			m.Set(x, y, color.RGBA{r, g, b, 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// colours returns a folder of n pictures, NN.png, no two alike.
func colours(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "photos")
	for i := range n {
		put(t, filepath.Join(dir, fmt.Sprintf("%02d.png", i)), filled(t, uint8(10+7*i), uint8(200-5*i), uint8(60+31*i)))
	}
	return dir
}

// said runs a command that must succeed, and returns what it printed.
func said(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := run(t.Context(), args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// run runs vicreg index, or vicreg search, with these arguments.
func run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	if args[0] == "search" {
		err = Search(ctx, args[1:], &out, &errs)
	} else {
		err = Index(ctx, args, &out, &errs)
	}
	return out.String(), errs.String(), err
}

// want reports a text that lacks any of the words.
func want(t *testing.T, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in\n%s", w, got)
		}
	}
}
