package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// data runs vicreg data and returns its output.
func data(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Data(t.Context(), args, &out, io.Discard)
	return out.String(), err
}

func put(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

// grey returns a PNG file of w x h pixels with the same value.
func grey(t *testing.T, w, h int, value uint8) []byte {
	t.Helper()
	m := imaging.NewRGB(w, h)
	for i := range m.Pix {
		m.Pix[i] = value
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture(m.Pix, w, h)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDataCheck(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "cats/a.png", grey(t, 30, 10, 0))
	put(t, dir, "cats/b.png", grey(t, 10, 10, 255)) // fewer pixels, but the same weight
	put(t, dir, "dogs/copy of b.png", grey(t, 10, 10, 255))
	put(t, dir, "dogs/c.png", grey(t, 10, 20, 0))
	put(t, dir, "dogs/cut.png", grey(t, 10, 20, 0)[:40])
	put(t, dir, "empty.jpg", nil)

	list := filepath.Join(t.TempDir(), "list.txt")
	out, err := data(t, "check", dir, "--json", "--list", list, "--workers", "2")
	if err == nil || err.Error() != "2 of 6 files are bad" {
		t.Errorf("got error %v", err)
	}
	if want := `"bad": [
    {
      "path": "dogs/cut.png",
      "reason": "`; !strings.Contains(out, want) {
		t.Errorf("JSON without %s:\n%s", want, out)
	}
	var f inventory
	if err := json.Unmarshal([]byte(out), &f); err != nil {
		t.Fatal(err)
	}
	if f.Files != 6 || f.Good != 4 || f.Formats["png"] != 4 || f.Folders["cats"] != 2 || f.Folders["dogs"] != 3 {
		t.Errorf("counts: got %+v", f)
	}
	if w := (spread{10, 10, 10, 30, 30}); f.Width != w {
		t.Errorf("width: got %v, want %v", f.Width, w)
	}
	if w := (spread{0.5, 0.5, 1, 3, 3}); f.Aspect != w {
		t.Errorf("aspect ratio: got %v, want %v", f.Aspect, w)
	}
	for c := range 3 {
		if math.Abs(f.Mean[c]-0.5) > 1e-12 || math.Abs(f.Std[c]-0.5) > 1e-12 {
			t.Errorf("channel %d: mean %v, std %v, want 0.5 and 0.5", c, f.Mean[c], f.Std[c])
		}
	}
	if len(f.Duplicates) != 1 || strings.Join(f.Duplicates[0], " ") != "cats/b.png dogs/copy of b.png" {
		t.Errorf("duplicates: got %v", f.Duplicates)
	}
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bad\tdogs/cut.png\t", "bad\tempty.jpg\tfile is empty\n", "duplicates\tcats/b.png\tdogs/copy of b.png\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the list lacks %q:\n%s", want, text)
		}
	}
}

func TestDataCheckOfGoodImages(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.png", grey(t, 30, 10, 51))
	out, err := data(t, "check", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"files         1, ", "good          1 (png 1)", "median 30", "median 3.00", "mean=0.2000:0.2000:0.2000,std=0.0000", "bad           0\n", "duplicates    0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if strings.Contains(out, "folders") {
		t.Errorf("folders where there are none:\n%s", out)
	}
}

// What is too much to print is only counted.
func TestDataCheckCountsTheRest(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		put(t, dir, fmt.Sprintf("bad/%02d.png", i), []byte{byte(i), 1, 2})
		put(t, dir, fmt.Sprintf("same/%02d.png", i), grey(t, 8, 8, 7))
	}
	out, err := data(t, "check", dir)
	if err == nil {
		t.Error("no error")
	}
	for _, want := range []string{"bad           12\n", "bad/09.png: ", "\n              and 2 more\nduplicates    12 byte-identical files in 1 group, 11 of them copies\n",
		" = same/09.png and 2 more\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "bad/10.png") || strings.Contains(out, "same/10.png") || strings.Count(out, "and 2 more") != 2 {
		t.Errorf("printed\n%s", out)
	}
	for i := range 11 {
		for _, name := range []string{"a", "b"} {
			put(t, dir, fmt.Sprintf("pairs/%02d%s.png", i, name), grey(t, 9, 9, uint8(i)))
		}
	}
	out, _ = data(t, "check", dir)
	if want := "duplicates    34 byte-identical files in 12 groups, 22 of them copies\n"; !strings.Contains(out, want) || !strings.HasSuffix(out, "\n              and 2 more\n") {
		t.Errorf("no %q in\n%s", want, out)
	}
}

func TestDataCheckStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Data(ctx, []string{"check", writeImages(t, 20)}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The preview shows exactly the views that the training loader produces.
func TestDataPreviewShowsWhatTrainingSees(t *testing.T) {
	dir, file := writeImages(t, 4), filepath.Join(t.TempDir(), "p.png")
	const size = cell
	out, err := data(t, "preview", dir, "-o", file, "--image-size", "128", "--images", "4", "--epochs", "1", "--seed", "7", "--recipe", "mild", "--augment", "flip_v=1", "--augment", "hue=0.2,rotate=1")
	if err != nil || !strings.Contains(out, "mild recipe, changed by --augment") {
		t.Fatal(out, err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sheet, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Open(t.Context(), dir, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := imaging.RecipeNamed("mild")
	if err != nil {
		t.Fatal(err)
	}
	if err := recipe.Set("flip_v=1,hue=0.2,rotate=1"); err != nil {
		t.Fatal(err)
	}
	loader, err := dataset.NewLoader(t.Context(), dataset.NewReader(set, dataset.ReaderConfig{}),
		dataset.LoaderConfig{Recipe: recipe, Batch: 4, Size: size, Seed: 7, Epochs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer loader.Close()
	batch, err := loader.Next()
	if err != nil {
		t.Fatal(err)
	}
	for row, i := range set.Shuffle(7, 0) {
		for view, name := range []string{"view1", "view2"} {
			pix := batch.Tensors[name].Data.([]uint8)[row*3*size*size:]
			for k := range size * size {
				r, g, b, _ := sheet.At(gap+(1+view)*(size+gap)+k%size, title+int(i)*(size+gap)+k/size).RGBA()
				if got, want := [3]uint8{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8)}, [3]uint8(pix[3*k:3*k+3]); got != want {
					t.Fatalf("image %d, %s, pixel %d: drawn %v, trained on %v", i, name, k, got, want)
				}
			}
		}
	}
}

func TestDataPreviewPassesOverBadFiles(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "p.png")
	put(t, dir, "a.png", nil)
	put(t, dir, "b.png", grey(t, 5, 5, 9))
	out, err := data(t, "preview", dir, "-o", file, "--image-size", "32")
	if err != nil || !strings.Contains(out, "row 1  image a.png: file is empty") || !strings.Contains(out, "row 2  b.png, 5 x 5") {
		t.Error(out, err)
	}
}

func TestDataRefuses(t *testing.T) {
	dir := writeImages(t, 1)
	for args, want := range map[string]string{
		"":                                "want check or preview",
		"chekc":                           "did you mean check",
		"check":                           "DIR is missing",
		"check nowhere-at-all":            "nowhere-at-all",
		"check DIR --workers -1":          "--workers -1: want 1 to 4096, or 0 for one a core",
		"preview DIR":                     "-o FILE is missing",
		"check DIR --list -":              "--list -: give the name of a file, or /dev/stdout",
		"preview DIR -o x.pn":             "ends in .png",
		"preview DIR -o x.bmp":            "ends in .png or .jpg",
		"preview DIR -o x --image-size 4": "8 to 1024",
		"preview DIR -o x --images 0":     "1 to 100",
		"preview DIR -o x --epochs 0":     "1 to 20",
		"preview DIR -o x.png --images 100 --epochs 20 --image-size 1024": "million pixels",
		"preview DIR -o x.png --recipe none":                              "unknown augmentation recipe",
		"preview DIR -o x.png --augment hue=2":                            "hue of 2",
		"preview DIR -o x.png --augment colours":                          "unknown augmentation setting",
	} {
		_, err := data(t, strings.Fields(strings.ReplaceAll(args, "DIR", dir))...)
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}
