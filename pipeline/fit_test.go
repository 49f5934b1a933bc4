package pipeline

import (
	"bytes"
	"fmt"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vicreg/pipeline/imaging"
)

// oblong creates two folders of the same pictures: wide and tall ones, and the squares with
// coloured bars that Pillow's rules make of them for a model of 16 pixels.
func oblong(t *testing.T, n int, bars [3]uint8) (given, square string) {
	t.Helper()
	given, square = t.TempDir(), t.TempDir()
	var s imaging.Scratch
	save := func(dir, name string, m *imaging.RGB) {
		var b bytes.Buffer
		if err := png.Encode(&b, picture(m.Pix, m.W, m.H)); err != nil {
			t.Fatal(err)
		}
		put(t, dir, name, b.Bytes())
	}
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		m, small, at := imaging.NewRGB(40, 20), &imaging.RGB{W: 16, H: 8}, 4*16
		if i%3 == 0 {
			m, small, at = imaging.NewRGB(20, 40), &imaging.RGB{W: 8, H: 16}, 4
		}
		for p := range m.W * m.H { // both ends are brighter than the middle
			end := 100 * max(p%m.W-m.W/2, m.W/2-p%m.W) / m.W
			for c := range 3 {
				m.Pix[3*p+c] = uint8(40 + 50*(i%2) + end + c*20 + r.IntN(40))
			}
		}
		imaging.Resize(small, m, imaging.Box{X1: float64(m.W), Y1: float64(m.H)}, imaging.Bicubic, &s)
		padded := imaging.NewRGB(16, 16)
		for p := range 16 * 16 {
			copy(padded.Pix[3*p:], bars[:])
		}
		for y := range small.H {
			copy(padded.Pix[3*(at+16*y):], small.Pix[3*small.W*y:3*small.W*(y+1)])
		}
		name := fmt.Sprintf("%c/%03d.png", 'a'+i%2, i)
		save(given, name, m)
		save(square, name, padded)
	}
	return given, square
}

// Everything that opens a padding model sees in oblong images what another sees in pre-padded ones:
// mean, vectors and figures are the same. A cropping model sees less.
func TestFitIsTheSameEverywhere(t *testing.T) {
	c := smallConfig(t, "", 16)
	c.Recipe.Interpolation = "bicubic"
	c.Background = imaging.Background{Set: true, R: 90, G: 7, B: 200}
	given, square := oblong(t, 40, [3]uint8{90, 7, 200})
	c.Data = given
	run := madeRun(t, c, nil)
	models := map[string]string{}
	for fit, says := range map[string]string{"pad": "; images are padded with #5a07c8 to 16 x 16 pixels\n",
		"squash": "; images are squashed to 16 x 16 pixels\n", "crop": "; images are cropped to 16 x 16 pixels\n"} {
		models[fit] = filepath.Join(t.TempDir(), fit+".onnx")
		if out := exported(t, run, "--fit", fit, "-o", models[fit]); !strings.Contains(out, says) {
			t.Errorf("%s: %s", fit, out)
		}
	}
	exported(t, run)
	if !bytes.Equal(read(t, filepath.Join(run, "backbone.onnx")), read(t, models["crop"])) {
		t.Error("--fit crop is not what is there without")
	}
	models["square"] = filepath.Join(t.TempDir(), "square.onnx")
	exported(t, run, "--data", square, "-o", models["square"])

	padding, cutting, squares := openEncoder(t, models["pad"]), openEncoder(t, models["crop"]), openEncoder(t, models["square"])
	if squashing := openEncoder(t, models["squash"]); padding.Fingerprint() == cutting.Fingerprint() || squashing.Fingerprint() == cutting.Fingerprint() ||
		squashing.Fingerprint() == padding.Fingerprint() || cutting.Fingerprint() != squares.Fingerprint() {
		t.Error("fingerprints do not tell the models apart")
	}
	if !reflect.DeepEqual(padding.Metadata().Center, squares.Metadata().Center) || reflect.DeepEqual(padding.Metadata().Center, cutting.Metadata().Center) {
		t.Error("the mean is of other pixels")
	}
	embedded := func(dir, model string) [][]float32 {
		o := filepath.Join(t.TempDir(), "v.jsonl")
		if _, err := embed(t, t.Context(), dir, "--model", model, "-o", o); err != nil {
			t.Fatal(err)
		}
		_, rows := jsonRows(t, o)
		return rows
	}
	rows := embedded(given, models["pad"])
	if !reflect.DeepEqual(rows, embedded(square, models["square"])) || reflect.DeepEqual(rows, embedded(given, models["crop"])) {
		t.Error("embed saw other pixels")
	}
	figures := func(dir, model string) string {
		// Without the probe, whose folds depend on the files' bytes.
		return strings.ReplaceAll(evaluated(t, "--data", dir, "--model", model, "--json", "--probe=false"), padding.Fingerprint(), cutting.Fingerprint())
	}
	if a, b := figures(given, models["pad"]), figures(square, models["square"]); a != b {
		t.Errorf("eval saw other pixels:\n%s%s", a, b)
	}
	y, err := padding.EncodeImage(t.Context(), readFile(t, filepath.Join(given, "a/000.png")))
	if err != nil || !near(y, rows[0]) {
		t.Errorf("one image alone: %v, %v", y, err)
	}
}
