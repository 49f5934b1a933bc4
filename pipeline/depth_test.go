package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// depths creates two folders of the same grey pictures: 12 bits stored in 16, and the 8 bits that
// --levels 0:4080 makes of them.
func depths(t *testing.T, n int) (deep, shallow string) {
	t.Helper()
	deep, shallow = t.TempDir(), t.TempDir()
	encode := func(m image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	box := image.Rect(0, 0, 24, 20)
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		a, b := image.NewGray16(box), image.NewGray(box)
		for p := range 24 * 20 {
			x, y := p%24, p/24
			v := uint8(min(255, 10*(i%2)*x+r.IntN(128)+y))
			a.SetGray16(x, y, color.Gray16{Y: 16 * uint16(v)})
			b.SetGray(x, y, color.Gray{Y: v})
		}
		name := fmt.Sprintf("%c/%03d.png", 'a'+i%2, i)
		put(t, deep, name, encode(a))
		put(t, shallow, name, encode(b))
	}
	return deep, shallow
}

// With levels that map deep images to the same bytes as the shallow ones, every command sees the
// same images.
func TestLevelsAreTheSameEverywhere(t *testing.T) {
	deep, shallow := depths(t, 40)
	const levels = "0:4080"
	runs := [2]string{t.TempDir(), t.TempDir()}
	for i, args := range [2][]string{{"--data", deep, "--levels", levels}, {"--data", shallow}} {
		printed, err := train(t, t.Context(), append(args, "--out", runs[i])...)
		if err != nil || strings.Contains(printed, "16 bits") || strings.Contains(printed, ", levels "+levels) != (i == 0) {
			t.Fatalf("%v\n%s", err, printed)
		}
	}
	if !reflect.DeepEqual(latest(t, runs[0]).Tensors, latest(t, runs[1]).Tensors) {
		t.Error("training saw other pixels")
	}
	// A program that does not support levels must refuse to resume the first.
	if a, b := latest(t, runs[0]).FormatVersion, latest(t, runs[1]).FormatVersion; a != 2 || b != 1 {
		t.Errorf("checkpoints of the versions %d and %d", a, b)
	}
	first, second := exported(t, runs[0]), exported(t, runs[1])
	models := [2]string{filepath.Join(runs[0], "backbone.onnx"), filepath.Join(runs[1], "backbone.onnx")}
	a, b := openEncoder(t, models[0]), openEncoder(t, models[1])
	if a.Fingerprint() == b.Fingerprint() || !reflect.DeepEqual(a.Metadata().Center, b.Metadata().Center) || a.Metadata().Preprocess.Levels.String() != levels {
		t.Errorf("the models are\n%s%+v\n%s%+v", first, a.Metadata(), second, b.Metadata())
	}
	out := t.TempDir()
	var rows [2][][]float32
	var figures, sheets [2]string
	for i, dir := range []string{deep, shallow} {
		o := filepath.Join(out, fmt.Sprintf("%d.jsonl", i))
		if _, err := embed(t, t.Context(), dir, "--model", models[i], "-o", o); err != nil {
			t.Fatal(err)
		}
		_, rows[i] = jsonRows(t, o)
		// Without the probe, whose folds depend on the files' bytes.
		figures[i] = strings.ReplaceAll(evaluated(t, "--data", dir, "--model", models[i], "--json", "--probe=false"), b.Fingerprint(), a.Fingerprint())
		sheet := filepath.Join(out, fmt.Sprintf("%d.png", i))
		args := []string{"preview", dir, "-o", sheet, "--image-size", "16"}
		if i == 0 {
			args = append(args, "--levels", levels)
		}
		if _, err := data(t, args...); err != nil {
			t.Fatal(err)
		}
		sheets[i] = string(readFile(t, sheet))
	}
	if !reflect.DeepEqual(rows[0], rows[1]) || figures[0] != figures[1] || sheets[0] != sheets[1] {
		t.Errorf("embed: %v, eval: %v, preview: %v", reflect.DeepEqual(rows[0], rows[1]), figures[0] == figures[1], sheets[0] == sheets[1])
	}
	y, err := a.EncodeImage(t.Context(), readFile(t, filepath.Join(deep, "a/000.png")))
	if err != nil || !near(y, rows[0][0]) {
		t.Errorf("one image alone: %v, %v", y, err)
	}
	with, err := data(t, "check", deep, "--levels", levels)
	without, err2 := data(t, "check", shallow)
	if err != nil || err2 != nil || meanOf(with) != meanOf(without) {
		t.Errorf("%v, %v\n%s%s", err, err2, with, without)
	}
	if _, err := train(t, t.Context(), "--out", runs[0], "--resume", "--levels", "auto"); err == nil || !strings.Contains(err.Error(), "--levels is a setting of the run") {
		t.Errorf("levels may change: %v", err)
	}
}

// near allows for the rounding of a different batch size.
func near(a, b []float32) bool {
	for i := range a {
		if d := a[i] - b[i]; d > 1e-4 || d < -1e-4 {
			return false
		}
	}
	return len(a) == len(b)
}

// meanOf returns the line with mean and std in the output of data check.
func meanOf(check string) string {
	for line := range strings.Lines(check) {
		if strings.HasPrefix(line, "mean and std") {
			return line
		}
	}
	return check
}

// Older checkpoints have no levels, and those of runs without levels are unchanged.
func TestConfigWithoutLevels(t *testing.T) {
	text, err := json.Marshal(Config{})
	if err != nil || strings.Contains(string(text), "levels") || strings.Contains(string(text), "Conversion") {
		t.Errorf("%s, %v", text, err)
	}
	c := Config{}
	c.Levels.Auto = true
	if text, err = json.Marshal(c); err != nil || !strings.Contains(string(text), `"levels":"auto"`) {
		t.Errorf("%s, %v", text, err)
	}
	var again Config
	if err := json.Unmarshal(text, &again); err != nil || again.Conversion != c.Conversion {
		t.Errorf("%+v, %v", again.Conversion, err)
	}
}

func TestDarkImagesAreToldOf(t *testing.T) {
	deep, shallow := depths(t, 16)
	for _, c := range []struct{ dir, levels, want string }{
		{deep, "full", "16 of 16 images have 16 bits a channel and use at most 1/4 of the range, with values from 0 to 4080: see --levels\n"},
		{deep, "0:60000", "16 of 16 images have 16 bits a channel and use at most 1/4 of --levels 0:60000, with values from 0 to 4080: see --levels\n"},
		{deep, "0:4095", ""},
		{deep, "auto", ""},
		{shallow, "full", ""},
	} {
		checked, err := data(t, "check", c.dir, "--levels", c.levels)
		if err != nil || strings.Contains(checked, "16 bits") != (c.dir == deep) || strings.Contains(checked, ": see --levels") != (c.want != "") || !strings.Contains(checked, c.want) {
			t.Errorf("%v, with %s\n%s", err, c.levels, checked)
		}
		set, err := dataset.Index(c.dir)
		if err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		f := &trainFlags{}
		if err := errors.Join(f.Levels.UnmarshalText([]byte(c.levels)), f.warnOfDepth(t.Context(), set, &printed)); err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(c.want, "16 of", "vicreg train: 16 of", 1); printed.String() != want {
			t.Errorf("train says %q, want %q", &printed, want)
		}
	}
	printed, err := train(t, t.Context(), "--data", deep, "--holdout", "0", "--out", t.TempDir(), "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "vicreg train: 16 of 16 images have 16 bits a channel") {
		t.Errorf("%v\n%s", err, printed)
	}
	var found struct {
		Deep depth `json:"sixteen_bits"`
	}
	text, err := data(t, "check", deep, "--json")
	if err != nil || json.Unmarshal([]byte(text), &found) != nil || found.Deep.Images != 16 || found.Deep.High != 4080 || found.Deep.Narrow != 16 {
		t.Errorf("%v, %+v\n%s", err, found, text)
	}
}

func TestDepthOfASample(t *testing.T) {
	deep, _ := depths(t, sampledDepth+1)
	set, err := dataset.Index(deep)
	if err != nil {
		t.Fatal(err)
	}
	d, err := depthOf(t.Context(), set, imaging.Limits{}, imaging.Levels{})
	if err != nil || !strings.HasPrefix(d.warning(imaging.Levels{}), "64 of 64 images looked at have 16 bits") {
		t.Errorf("%v, %s", err, d.warning(imaging.Levels{}))
	}
}

func TestWhatIsNarrow(t *testing.T) {
	for _, c := range []struct {
		low, high uint16
		levels    imaging.Levels
		want      bool
	}{
		{0, 16383, imaging.Levels{}, true}, // 14 bits
		{0, 17000, imaging.Levels{}, false},
		{60000, 65535, imaging.Levels{}, true},
		{0, 4095, imaging.Levels{High: 4095}, false},
		{5000, 6000, imaging.Levels{High: 4095}, true}, // all white
		{0, 4095, imaging.Levels{Low: 3500, High: 65535}, true},
		{7, 7, imaging.Levels{Auto: true}, false},
	} {
		if got := narrow(imaging.Facts{Deep: true, Inner: [2]uint16{c.low, c.high}}, c.levels); got != c.want {
			t.Errorf("%d to %d with %v: %v", c.low, c.high, c.levels, got)
		}
	}
}

// A foreign model can be given levels, and its fingerprint depends on them.
func TestLevelsOfAForeignModel(t *testing.T) {
	deep, shallow := depths(t, 4)
	model := foreignModel(t)
	rows := map[string][][]float32{}
	for name, args := range map[string][]string{"deep": {deep, "--levels", "0:4080"}, "shallow": {shallow}} {
		o := filepath.Join(t.TempDir(), "v.jsonl")
		if _, err := embed(t, t.Context(), append(args, "--model", model, "-o", o, "--foreign", "--crop", "16", "--mean", ".5", "--std", ".5")...); err != nil {
			t.Fatal(err)
		}
		_, rows[name] = jsonRows(t, o)
	}
	if !reflect.DeepEqual(rows["deep"], rows["shallow"]) {
		t.Errorf("%v", rows)
	}
	var out bytes.Buffer
	err := Embed(t.Context(), []string{deep, "--model", model, "-o", "x.npy", "--levels", "auto", "--onnxruntime", orttest.Open(t).Path()}, &out, io.Discard)
	var wrong *usage.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--levels requires --foreign") {
		t.Errorf("%v", err)
	}
}

// Transparent images are counted, and drawn over the background.
func TestTransparentImages(t *testing.T) {
	dir := t.TempDir()
	m := image.NewNRGBA(image.Rect(0, 0, 10, 10)) // black, but fully transparent
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "a.png", b.Bytes())
	put(t, dir, "b.png", grey(t, 10, 10, 0))
	for flag, mean := range map[string]string{"": "mean=0.0000:0.0000:0.0000", "#ffffff": "mean=0.5000:0.5000:0.5000", "#ff0000": "mean=0.5000:0.0000:0.0000"} {
		out, err := data(t, "check", dir, "--background", flag)
		if err != nil || !strings.Contains(out, mean) || !strings.Contains(out, "transparency  1 images; see --background\n") {
			t.Errorf("%q: %v\n%s", flag, err, out)
		}
	}
	printed, err := train(t, t.Context(), "--data", writeImages(t, 8), "--background", "#ffffff", "--levels", "auto", "--holdout", "0", "--out", t.TempDir(), "--time-limit", "1ns")
	if err != nil || !strings.Contains(printed, "cifar recipe, levels auto, transparent images on #ffffff\n") {
		t.Errorf("%v\n%s", err, printed)
	}
}

// The limit on pixels is a flag, which a run stores for its export.
func TestMaxPixels(t *testing.T) {
	dir := t.TempDir()
	for i := range 8 {
		put(t, dir, fmt.Sprintf("%d.png", i), grey(t, 20, 10, uint8(30*i)))
	}
	wide := t.TempDir()
	put(t, wide, "wide.png", grey(t, 17000, 2, 9))
	const over = "picture of 20x10 pixels is over the limit of 199 per side and 199 in total"
	if out, err := data(t, "check", dir, "--max-pixels", "199"); err == nil || !strings.Contains(out, over) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := data(t, "check", wide); err == nil || !strings.Contains(out, "of 17000x2 pixels is over the limit of 16384 per side") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := data(t, "check", wide, "--max-pixels", "40000"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	out := t.TempDir()
	if printed, err := train(t, t.Context(), "--data", dir, "--out", out, "--holdout", "0", "--max-pixels", "199"); err == nil || !strings.Contains(err.Error(), over) {
		t.Errorf("%v\n%s", err, printed)
	}
	if printed, err := train(t, t.Context(), "--data", dir, "--out", out, "--force", "--holdout", "0", "--max-pixels", "200", "--time-limit", "1ns"); err != nil || configOf(t, out).Limits().Pixels != 200 {
		t.Errorf("%v\n%s", err, printed)
	}
	exported(t, out)
	model := filepath.Join(out, "backbone.onnx")
	_, err := embed(t, t.Context(), dir, "--model", model, "-o", filepath.Join(t.TempDir(), "v.npy"), "--max-pixels", "199")
	if err == nil || !strings.Contains(err.Error(), over) {
		t.Error(err)
	}
}
