package imaging

import (
	"os"
	"path/filepath"
	"testing"
)

// photos reads the photographs of VICREG_TEST_DATA/photos.
func photos(t testing.TB) (all [][]byte) {
	t.Helper()
	root := os.Getenv("VICREG_TEST_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	names, _ := filepath.Glob(filepath.Join(root, "photos", "*.jpg"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	if len(all) == 0 {
		t.Skip("no photographs: set VICREG_TEST_DATA to a folder with photos/*.jpg")
	}
	return all
}

// BenchmarkDecodePhoto averages over the photographs, of about 500x375 pixels.
func BenchmarkDecodePhoto(b *testing.B) {
	all := photos(b)
	var d Decoder
	defer d.Close()
	var m RGB
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := d.Decode(&m, all[i%len(all)], Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkColours measures the conversion after image/jpeg, for an image with chroma halved both
// ways.
func BenchmarkColours(b *testing.B) {
	im, m := planes(500, 375), NewRGB(500, 375)
	var u upsampler
	for b.Loop() {
		u.fill(m, im, nil, "ycc")
	}
}

// TestDecodeDoesNotAllocate checks libjpeg-turbo: after the first images nothing is allocated,
// whatever the orientation and colour space.
func TestDecodeDoesNotAllocate(t *testing.T) {
	if !turboBuilt {
		t.Skip("image/jpeg has memory of its own for each picture")
	}
	var d Decoder
	defer d.Close()
	var m RGB
	for _, name := range []string{"s420.jpg", "s444-progressive.jpg", "grey.jpg", "ycck420.jpg", "turned6.jpg", "stuffed.jpg"} {
		data := readFile(t, "decode/"+name)
		if n := testing.AllocsPerRun(50, func() {
			if err := d.Decode(&m, data, Limits{}); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestCutPhotos is TestCutFiles for photographs.
func TestCutPhotos(t *testing.T) {
	var d Decoder
	defer d.Close()
	var m RGB
	all := photos(t)
	for _, data := range all[:min(len(all), 8)] {
		for i := range 10 {
			if err := d.Decode(&m, data[:len(data)*i/10], Limits{}); err == nil {
				t.Errorf("a photograph cut at %d0 %% was decoded", i)
			}
		}
	}
}
