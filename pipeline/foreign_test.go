package pipeline

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// foreignModel writes a model as another tool might export it: the mean colour of normalised
// pictures of 16 x 16 pixels.
func foreignModel(t *testing.T) string {
	t.Helper()
	g, err := graph.Build("mean", func(g *graph.Graph) {
		g.Output("features", g.ReduceMean(g.Input("image", tensor.Float32, graph.Batch, 3, 16, 16), false, 2, 3))
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "mean.onnx", file)
	return filepath.Join(dir, "mean.onnx")
}

// embed and eval accept a foreign model along with the flags that describe it.
func TestForeignModel(t *testing.T) {
	images, model, file := drawKinds(t, 4, 1), foreignModel(t), filepath.Join(t.TempDir(), "v.jsonl")
	flags := []string{"--model", model, "--foreign", "--crop", "16", "--resize", "20", "--mean", ".5", "--std", ".2,.3,.4"}
	if _, err := embed(t, t.Context(), append(flags, images, "-o", file)...); err != nil {
		t.Fatal(err)
	}
	enc, err := encoder.OpenForeign(orttest.Open(t), model, encoder.Foreign{Layout: "nchw",
		Preprocess:    imaging.Preprocess{Crop: 16, Resize: 20, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Mean: [3]float64{.5, .5, .5}, Std: [3]float64{.2, .3, .4}}}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	paths, rows := jsonRows(t, file)
	for i, path := range paths {
		want, err := enc.EncodeImage(t.Context(), readFile(t, filepath.Join(images, path)))
		near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5 }
		if err != nil || !slices.EqualFunc(rows[i], want, near) {
			t.Errorf("%s: got %v, want %v (%v)", path, rows[i], want, err)
		}
	}
	if p := parse(t, evaluated(t, append(flags, "--data", images, "--json", "-k", "3")...)); p.Dim != 3 || p.Kinds == nil || p.Kinds.KNN != 1 {
		t.Errorf("figures %+v", p)
	}
}

func TestForeignModelRefused(t *testing.T) {
	images, model := drawKinds(t, 2, 1), foreignModel(t)
	for want, more := range map[string][]string{
		"for other models give --foreign":     {},
		"--foreign: --crop pixels is missing": {"--foreign"},
		"--mean requires --foreign":           {"--mean", "0"},
	} {
		if _, err := embed(t, t.Context(), append(more, images, "--model", model, "-o", filepath.Join(t.TempDir(), "v.npy"))...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v", more, err)
		}
	}
}
