package bulk_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// colour is a model whose vector is the mean red, green and blue of the picture.
func colour(t *testing.T) *encoder.Encoder {
	t.Helper()
	model, err := orttest.Pixels(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, model, ort.Options{Threads: 1})
}

// open returns the encoder of a model whose vector is the three values of a one-pixel picture.
func open(t *testing.T, model *onnx.ModelProto, opt ort.Options) *encoder.Encoder {
	t.Helper()
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: 1, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3, Center: make([]float32, 3)}
	if err := about.Attach(model); err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := encoder.New(orttest.Open(t), file, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { enc.Close() })
	return enc
}

// greys creates a folder of n plain pictures, picture i with grey value 3i, and one bad file.
func greys(t *testing.T, n int) *dataset.Set {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		m := image.NewGray(image.Rect(0, 0, 10, 9))
		for j := range m.Pix {
			m.Pix[j] = uint8(3 * i)
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, m), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "000-bad.jpg"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Open(t.Context(), dir, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Over several batches: hash, vector and thumbnail of each wanted file, in order, and the reason
// for each bad one.
func TestImages(t *testing.T) {
	set := greys(t, 80)
	var seen []int
	bad, err := bulk.Images(t.Context(), colour(t), 3, bulk.Limits, set,
		func(i int, hash bulk.Hash) bool {
			data, err := set.ReadFile(i)
			if err != nil || sha256.Sum256(data) != hash {
				t.Errorf("%s: hash %x, %v", set.Key(i), hash, err)
			}
			return i%5 != 4
		},
		func(m bulk.Image) error {
			seen = append(seen, m.Index)
			grey, _, _ := strings.Cut(set.Key(m.Index), ".")
			n, err := strconv.Atoi(grey)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Vector) != 3 || math.Abs(float64(m.Vector[1])-float64(3*n)) > 0.01 {
				t.Errorf("%s: vector %v", set.Key(m.Index), m.Vector)
			}
			small, err := jpeg.Decode(strings.NewReader(string(m.Thumbnail)))
			if err != nil {
				t.Fatalf("%s: thumbnail: %v", set.Key(m.Index), err)
			}
			if c := color.GrayModel.Convert(small.At(4, 4)).(color.Gray); small.Bounds().Dx() != 10 || math.Abs(float64(c.Y)-float64(3*n)) > 3 {
				t.Errorf("%s: thumbnail of %v, grey %d", set.Key(m.Index), small.Bounds(), c.Y)
			}
			data, err := set.ReadFile(m.Index)
			if err != nil || sha256.Sum256(data) != m.Hash {
				t.Errorf("%s: hash %x, %v", set.Key(m.Index), m.Hash, err)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if len(bad) != 1 || bad[0].Key != "000-bad.jpg" || bad[0].Reason == "" {
		t.Errorf("bad: %v", bad)
	}
	var want []int
	for i := range set.Len() {
		if i%5 != 4 && set.Key(i) != "000-bad.jpg" {
			want = append(want, i)
		}
	}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
}

// Cancelling never looks like success, however late it happens.
func TestImagesStops(t *testing.T) {
	set := greys(t, 70)
	for at := 1; at <= 70; at += 23 {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		_, err := bulk.Images(ctx, colour(t), 2, bulk.Limits, set, func(int, bulk.Hash) bool { return true }, func(bulk.Image) error {
			if calls++; calls == at {
				cancel()
			}
			return nil
		})
		cancel()
		if calls < 70 && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d: %d calls, %v", at, calls, err)
		}
	}
}

// An error of the consumer ends the work.
func TestImagesEndsWithItsTaker(t *testing.T) {
	set, full := greys(t, 40), errors.New("full")
	calls := 0
	_, err := bulk.Images(t.Context(), colour(t), 3, bulk.Limits, set, func(int, bulk.Hash) bool { return true },
		func(bulk.Image) error { calls++; return full })
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}
