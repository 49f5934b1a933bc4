package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// embed runs vicreg embed and returns its output.
func embed(t *testing.T, ctx context.Context, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Embed(ctx, append(args, "--onnxruntime", orttest.Open(t).Path()), &out, io.Discard)
	return out.String(), err
}

// jsonRows returns the paths and vectors of a .jsonl file.
func jsonRows(t *testing.T, path string) (paths []string, rows [][]float32) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); d.More(); {
		var r struct {
			Path      string
			Embedding []float32
		}
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		paths, rows = append(paths, r.Path), append(rows, r.Embedding)
	}
	return paths, rows
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Images named individually get the same vectors as in their folder.
func TestEmbedOfImages(t *testing.T) {
	images := drawKinds(t, 3, 1)
	model, dir := someModel(t, images), t.TempDir()
	whole, some := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "some.jsonl")
	if printed, err := embed(t, t.Context(), images, "--model", model, "-o", whole); err != nil {
		t.Fatal(printed, err)
	}
	printed, err := embed(t, t.Context(), filepath.Join(images, "green", "00[12].*"), filepath.Join(images, "blue", "000.jpg"), "--model", model, "-o", some)
	if err != nil || !strings.Contains(printed, "3 vectors of") {
		t.Fatal(printed, err)
	}
	known := map[string][]float32{}
	paths, rows := jsonRows(t, whole)
	for i, p := range paths {
		known[p] = rows[i]
	}
	paths, rows = jsonRows(t, some)
	if want := []string{"000.jpg", "001.jpg", "002.jpg"}; !slices.Equal(paths, want) {
		t.Fatalf("paths %q, want %q", paths, want)
	}
	for i, p := range []string{"blue/000.jpg", "green/001.jpg", "green/002.jpg"} {
		if known[p] == nil || !slices.Equal(rows[i], known[p]) {
			t.Errorf("%s has another vector than in its folder", p)
		}
	}
}

// Every format holds the vectors that the encoder returns for each file alone, in the order of the
// paths; bad files are listed.
func TestEmbed(t *testing.T) {
	images := drawKinds(t, 15, 1)
	model := someModel(t, images)
	put(t, images, "green/torn.jpg", []byte("\xff\xd8\xff"))
	dir := t.TempDir()
	for _, name := range []string{"v.jsonl", "v.npy", "v.parquet"} {
		printed, err := embed(t, t.Context(), images, "--model", model, "-o", filepath.Join(dir, name))
		if err != nil || !strings.Contains(printed, "45 vectors of") || !strings.Contains(printed, "skipped 1 of 46") {
			t.Fatal(printed, err)
		}
		if _, err := os.Stat(filepath.Join(dir, name+".part")); err == nil {
			t.Error("the journal is left behind")
		}
	}
	paths, rows := jsonRows(t, filepath.Join(dir, "v.jsonl"))
	if !slices.IsSorted(paths) || len(paths) != 45 || paths[0] != "blue/000.jpg" {
		t.Fatalf("paths %q", paths)
	}
	enc, err := encoder.Open(orttest.Open(t), model, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	numbers := readFile(t, filepath.Join(dir, "v.npy"))[128:]
	for i, path := range paths {
		want, err := enc.EncodeImage(t.Context(), readFile(t, filepath.Join(images, path)))
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range rows[i] {
			if math.Abs(float64(v-want[j])) > 1e-5 {
				t.Fatalf("%s: number %d is %v, alone %v", path, j, v, want[j])
			}
			if bits := math.Float32bits(v); !bytes.Equal(numbers[:4], []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}) {
				t.Fatalf("%s: number %d differs between the forms", path, j)
			}
			numbers = numbers[4:]
		}
	}
	measured := &evaluation{data: images, k: "1", temperature: 1, limit: 1000, stderr: io.Discard}
	if err := measured.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, err := measured.encode(t.Context(), enc, measured.queries)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		for j, v := range rows[i] {
			if w := seen.y.Row(i)[j]; math.Abs(float64(v-w)) > 1e-5 {
				t.Fatalf("%s: number %d is %v, in an evaluation %v", path, j, v, w)
			}
		}
	}
	if got := string(readFile(t, filepath.Join(dir, "v.npy.paths"))); got != strings.Join(paths, "\n")+"\n" {
		t.Errorf("paths beside the .npy:\n%s", got)
	}
	var info vectors.Info
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "v.parquet.json")), &info); err != nil {
		t.Fatal(err)
	}
	if info.Fingerprint != enc.Fingerprint() || info.Count != 45 || info.Dim != enc.Dim() || len(info.Bad) != 1 ||
		info.Bad[0].Path != "green/torn.jpg" || info.Bad[0].Reason == "" {
		t.Errorf("got %+v", info)
	}
}

// Centred vectors are the plain ones minus the mean, and are normalised after that; the file says
// so, and a run begun with other settings cannot be resumed.
func TestEmbedCenters(t *testing.T) {
	images := drawKinds(t, 3, 1)
	model := someModel(t, images)
	mean := openEncoder(t, model).Metadata().Center
	embedded := func(path string, args ...string) ([][]float32, vectors.Info) {
		if _, err := embed(t, t.Context(), append([]string{images, "--model", model, "-o", path}, args...)...); err != nil {
			t.Fatal(err)
		}
		info, err := vectors.ReadInfo(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rows := jsonRows(t, path)
		return rows, info
	}
	dir := t.TempDir()
	want, _ := embedded(filepath.Join(dir, "plain.jsonl"))
	for _, v := range want {
		stats.Subtract(v, mean)
	}
	less, info := embedded(filepath.Join(dir, "less.jsonl"), "--center")
	if !info.Centered || info.Normalized || !reflect.DeepEqual(less, want) {
		t.Errorf("%+v, the vectors are less the mean: %v", info, reflect.DeepEqual(less, want))
	}
	for _, v := range want {
		stats.Unit(v)
	}
	unit, info := embedded(filepath.Join(dir, "unit.jsonl"), "--center", "--normalize")
	if !info.Centered || !info.Normalized || !reflect.DeepEqual(unit, want) {
		t.Errorf("%+v, the vectors are less the mean and then of length 1: %v", info, reflect.DeepEqual(unit, want))
	}

	set, err := dataset.Open(t.Context(), images, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	info.Images = stateOf(set)
	begun := filepath.Join(dir, "begun.jsonl")
	j, err := vectors.OpenJournal(begun+".part", info)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Add(want[0]), j.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", begun, "--normalize"); err == nil || !strings.Contains(err.Error(), "--force starts over") {
		t.Errorf("without --center: %v", err)
	}
	if again, _ := embedded(begun, "--normalize", "--center"); !reflect.DeepEqual(again, want) {
		t.Error("went on with other vectors")
	}
}

// A foreign model has no mean, which is reported before any image is read.
func TestEmbedCannotCenterForeign(t *testing.T) {
	o := filepath.Join(t.TempDir(), "v.npy")
	_, err := embed(t, t.Context(), drawKinds(t, 1, 1), "--model", foreignModel(t), "-o", o, "--center", "--foreign", "--crop", "16", "--mean", ".5", "--std", ".5")
	var wrong *usage.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "stores no mean vector: omit --center") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(o + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Images in the journal are not encoded again: a run resumes after them.
func TestEmbedGoesOn(t *testing.T) {
	images, file := drawKinds(t, 4, 1), filepath.Join(t.TempDir(), "v.jsonl")
	model := someModel(t, images)
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", file, "--normalize"); err != nil {
		t.Fatal(err)
	}
	paths, want := jsonRows(t, file)

	set, err := dataset.Open(t.Context(), images, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var info vectors.Info
	if err := json.Unmarshal(readFile(t, file+".json"), &info); err != nil {
		t.Fatal(err)
	}
	info.Images = stateOf(set)
	second := filepath.Join(t.TempDir(), "v.jsonl")
	j, err := vectors.OpenJournal(second+".part", info)
	if err != nil {
		t.Fatal(err)
	}
	mark := make([]float32, info.Dim)
	mark[0] = 42
	if err := errors.Join(j.Add(mark), j.AddBad("as before"), j.Add(mark), j.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", second); !strings.Contains(err.Error(), "--force starts over") {
		t.Errorf("other settings: %v", err)
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", second, "--normalize"); err != nil {
		t.Fatal(err)
	}
	gotPaths, got := jsonRows(t, second)
	if len(got) != len(want)-1 || gotPaths[1] != paths[2] || got[0][0] != 42 || got[1][0] != 42 {
		t.Fatalf("%d rows, the first %v", len(got), got[0])
	}
	for i, v := range got[2:] {
		if !slices.Equal(v, want[i+3]) {
			t.Errorf("%s differs", gotPaths[i+2])
		}
		var sum float64
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("%s: squared length %v", gotPaths[i+2], sum)
		}
	}
}

func TestEmbedStopsAndKeepsTheJournal(t *testing.T) {
	images, file := drawKinds(t, 2, 1), filepath.Join(t.TempDir(), "v.jsonl")
	model := someModel(t, images)
	ctx, cancel := context.WithCancel(t.Context())
	set, err := dataset.Open(ctx, images, dataset.Options{})
	if err != nil || set.Len() != 6 {
		t.Fatal(err)
	}
	cancel()
	if _, err := embed(t, ctx, images, "--model", model, "-o", file); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("a run that was stopped wrote its output")
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", file); err != nil {
		t.Error(err)
	}
}

func TestEmbedRefuses(t *testing.T) {
	images, dir := drawKinds(t, 2, 1), t.TempDir()
	model := someModel(t, images)
	there := filepath.Join(dir, "there.npy")
	put(t, dir, "there.npy", nil)
	for want, args := range map[string][]string{
		"DIR is missing":             {"--model", model, "-o", there},
		"--model FILE is missing":    {images, "-o", there},
		"ends in .npy":               {images, "--model", model, "-o", filepath.Join(dir, "v.csv")},
		"is not a folder":            {images, "--model", model, "-o", filepath.Join(dir, "none", "v.npy")},
		"--force overwrites it":      {images, "--model", model, "-o", there},
		"does not exist":             {filepath.Join(dir, "none"), "--model", model, "-o", filepath.Join(dir, "v.npy")},
		"no such file":               {images, "--model", filepath.Join(dir, "none"), "-o", filepath.Join(dir, "v.npy")},
		"4096, or 0 for the default": {images, "--model", model, "-o", filepath.Join(dir, "v.npy"), "--threads", "-1"},
	} {
		_, err := embed(t, t.Context(), args...)
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", there, "--force"); err != nil {
		t.Error(err)
	}
	put(t, dir, "v.npy.part", []byte("a download"))
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", filepath.Join(dir, "v.npy")); err == nil || !strings.Contains(err.Error(), "is in the way") {
		t.Errorf("got %v", err)
	}
	if got := string(readFile(t, filepath.Join(dir, "v.npy.part"))); got != "a download" {
		t.Errorf("somebody's file now holds %q", got)
	}
}

// With --force, embedding replaces older vectors, but never its inputs.
func TestEmbedSparesWhatItReads(t *testing.T) {
	images, dir := drawKinds(t, 2, 1), t.TempDir()
	model := someModel(t, images)
	photo := filepath.Join(images, "red", "000.jpg")
	at := func(name string) string { return filepath.Join(dir, name) }
	list := []byte(photo + "\n")
	for _, name := range []string{"a.npy", "b.npy.paths", "c.npy.json"} {
		put(t, dir, name, list)
	}
	for link, target := range map[string]string{"model.npy": model, "photo.npy": photo, "beside.npy.json": photo} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir, "taken.npy.json", []byte("mine"))
	put(t, dir, "download.npy.part", []byte("mine"))
	for _, c := range []struct {
		data, out, want string
		force           bool
	}{
		{at("a.npy"), "a.npy", "which must be kept", true},
		{at("b.npy.paths"), "b.npy", "b.npy.paths, which must be kept", true},
		{at("b.npy.paths"), "b.npy", "b.npy.paths, which must be kept", false},
		{at("c.npy.json"), "c.npy", "c.npy.json, which must be kept", true},
		{images, "model.npy", model + ", which must be kept", true},
		{images, "photo.npy", "is a file of the data set", true},
		{images, "beside.npy", "is a file of the data set", true},
		{images, "taken.npy", "taken.npy.json exists; --force overwrites it", false},
		{images, "download.npy", "is in the way", true},
		{images, "download.npy", "is in the way", false},
	} {
		refusal(t, c.want, []string{images, dir, filepath.Dir(model)}, func() error {
			args := []string{c.data, "--model", model, "-o", at(c.out)}
			if c.force {
				args = append(args, "--force")
			}
			_, err := embed(t, t.Context(), args...)
			return err
		})
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", at("taken.npy"), "--force"); err != nil {
		t.Error(err)
	}
}

func TestEmbedOfNothingGood(t *testing.T) {
	images, file := t.TempDir(), filepath.Join(t.TempDir(), "v.npy")
	put(t, images, "a.jpg", nil)
	put(t, images, "b.jpg", nil)
	model := someModel(t, drawKinds(t, 2, 1))
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", file); !errors.Is(err, errNoVector) || !strings.Contains(err.Error(), "; a.jpg: ") {
		t.Errorf("got %v", err)
	}
	put(t, images, "a.jpg", grey(t, 20, 20, 7))
	if printed, err := embed(t, t.Context(), images, "--model", model, "-o", file); err != nil || !strings.Contains(printed, "1 vector of") {
		t.Errorf("after the file was mended: %s, %v", printed, err)
	}
}

// An image with a non-finite vector is listed and left out; the others are not affected.
func TestEmbedSkipsWhatIsNotFinite(t *testing.T) {
	images, dir := drawKinds(t, 2, 1), t.TempDir()
	put(t, images, "dark.jpg", grey(t, 20, 20, 7))
	g, err := graph.Build("root", func(g *graph.Graph) { // square root of the mean, which is negative for a dark image
		g.Output("features", g.Sqrt(g.ReduceMean(g.Input("image", tensor.Float32, graph.Batch, 3, 16, 16), false, 2, 3)))
	})
	if err != nil {
		t.Fatal(err)
	}
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "root.onnx", model)
	file := filepath.Join(dir, "v.jsonl")
	printed, err := embed(t, t.Context(), images, "--model", filepath.Join(dir, "root.onnx"), "-o", file, "--foreign", "--crop", "16", "--mean", ".1", "--std", "1")
	if err != nil || !strings.Contains(printed, "6 vectors of 3 numbers") || !strings.Contains(printed, "skipped 1 of 7") {
		t.Fatalf("%s, %v", printed, err)
	}
	var info vectors.Info
	if err := json.Unmarshal(readFile(t, file+".json"), &info); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(info.Bad, []vectors.Bad{{Path: "dark.jpg", Reason: "its vector is not finite"}}) {
		t.Errorf("bad: %+v", info.Bad)
	}
}

// A path that cannot be written to a text file is rejected before any work.
func TestEmbedRefusesLineBreaks(t *testing.T) {
	images, file := drawKinds(t, 1, 1), filepath.Join(t.TempDir(), "v.npy")
	model := someModel(t, images)
	put(t, images, "two\nlines.jpg", grey(t, 20, 20, 7))
	var wrong *usage.Error
	if _, err := embed(t, t.Context(), images, "--model", filepath.Join(t.TempDir(), "none.onnx"), "-o", file); !errors.As(err, &wrong) || !strings.Contains(err.Error(), `"two\nlines.jpg" contains a line break`) {
		t.Errorf("got %v", err)
	}
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", filepath.Join(t.TempDir(), "v.jsonl")); err != nil {
		t.Error(err)
	}
}

// A path that JSON and Parquet cannot represent goes into .paths unchanged and is rejected for the
// other formats; where a bad or duplicate image is named, the name is escaped.
func TestEmbedOfNamesThatAreNotUTF8(t *testing.T) {
	images, dir := drawKinds(t, 1, 1), t.TempDir()
	model, latin := someModel(t, images), "caf\xe9.png"
	if err := os.WriteFile(filepath.Join(images, latin), grey(t, 20, 20, 7), 0o666); err != nil {
		t.Skip("this file system wants names in UTF-8: ", err)
	}
	put(t, images, "copy\xe9.png", grey(t, 20, 20, 7))
	put(t, images, "torn\xe9.png", []byte("no picture"))
	for _, name := range []string{"v.jsonl", "v.parquet"} {
		var wrong *usage.Error
		_, err := embed(t, t.Context(), images, "--model", filepath.Join(dir, "none.onnx"), "-o", filepath.Join(dir, name))
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), `"caf\xe9.png" is not valid UTF-8, which `) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(dir, "v.npy")
	if _, err := embed(t, t.Context(), images, "--model", model, "-o", file); err != nil {
		t.Fatal(err)
	}
	if paths := string(readFile(t, file+".paths")); !strings.Contains(paths, latin+"\n") {
		t.Errorf("paths %q", paths)
	}
	var info vectors.Info
	if err := json.Unmarshal(readFile(t, file+".json"), &info); err != nil || len(info.Bad) != 1 || info.Bad[0].Path != `"torn\xe9.png"` {
		t.Errorf("bad: %+v, %v", info.Bad, err)
	}
	text, _ := data(t, "check", images, "--json")
	var found inventory
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found.Bad) != 1 || found.Bad[0].Key != `"torn\xe9.png"` ||
		len(found.Duplicates) != 1 || strings.Join(found.Duplicates[0], " ") != `"caf\xe9.png" "copy\xe9.png"` {
		t.Errorf("%+v, %v", found, err)
	}
}
