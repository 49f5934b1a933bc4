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
	"slices"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

func openEncoder(t *testing.T, path string) *encoder.Encoder {
	t.Helper()
	e, err := encoder.Open(orttest.Open(t), path, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// exported runs vicreg export and returns its output.
func exported(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Export(t.Context(), append(args, "--onnxruntime", orttest.Open(t).Path()), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// On real photographs, at sizes with a border to crop and odd pooling: the exported model equals
// the training graph in evaluation mode, and two exports are byte-identical.
func TestExportEqualsTheTrainingGraph(t *testing.T) {
	for name, c := range map[string]Config{
		"resnet18": smallConfig(t, photos(t), 96),
		"resnet50": smallConfig(t, photos(t), 40),
	} {
		c.Model = name
		if name == "resnet18" {
			c.Stem = "imagenet"
		}
		run := madeRun(t, c, nil)
		out := exported(t, run)
		path := filepath.Join(run, "backbone.onnx")
		e := openEncoder(t, path)
		for _, want := range []string{path, " MB, " + name + " after step 12\n", "fingerprint " + e.Fingerprint(), "parity      model differs from the training graph by ", " on 16 images"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
		comparePictures(t, run, c, e)
		again := filepath.Join(t.TempDir(), "again.onnx")
		exported(t, run, "-o", again)
		if !bytes.Equal(read(t, path), read(t, again)) {
			t.Errorf("%s: two exports of one run differ", name)
		}
		if left, _ := filepath.Glob(filepath.Join(run, "*.tmp")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// comparePictures computes vectors from the files' bytes and compares them with the training graph,
// and the metadata with the run.
func comparePictures(t *testing.T, run string, c Config, e *encoder.Encoder) {
	t.Helper()
	all, err := dataset.Index(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	saved := latest(t, run)
	pixels := make([]uint8, 0, 5*3*c.Size*c.Size)
	var got []float32
	for i := range 5 {
		file, err := all.ReadFile(i)
		if err != nil {
			t.Fatal(err)
		}
		y, err := e.EncodeImage(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, y...)
	}
	reader := dataset.NewReader(all, dataset.ReaderConfig{})
	for p, err := range dataset.Images(t.Context(), reader, []int{0, 1, 2, 3, 4}, c.Preprocess(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		pixels = append(pixels, p.Pixels...)
	}
	want, err := evaluate(t.Context(), orttest.Open(t), ort.Options{}, &c, saved.Tensors, tensor.Of(pixels, 5, c.Size, c.Size, 3))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		a := distance(got[i*e.Dim():(i+1)*e.Dim()], want[i*e.Dim():(i+1)*e.Dim()])
		if !(a <= 1e-5) {
			t.Errorf("%s: picture %d is %v away", c.Model, i, a)
		}
	}
	if distance(want[:e.Dim()], want[e.Dim():2*e.Dim()]) < 1e-3 {
		t.Error("two pictures have nearly the same vector: the comparison shows nothing")
	}
	train, _ := all.Split(c.Holdout)
	m := e.Metadata()
	if m.Training.Images != train.Len() || m.Training.Data != train.Fingerprint() || m.Training.Steps != 12 ||
		m.Training.Epochs != 2 || m.Training.Seed != 3 || m.Preprocess != c.Preprocess() {
		t.Errorf("metadata %+v", m)
	}
}

// The mean is over the vectors of all training images and no others.
func TestExportedCenter(t *testing.T) {
	c := smallConfig(t, drawKinds(t, 8, 1), 16)
	run := madeRun(t, c, nil)
	exported(t, run)
	e := openEncoder(t, filepath.Join(run, "backbone.onnx"))
	all, err := dataset.Index(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	train, held := all.Split(c.Holdout)
	if held.Len() == 0 {
		t.Fatal("nothing is held out: choose other pictures")
	}
	want := make([]float64, e.Dim())
	for i := range train.Len() {
		file, err := train.ReadFile(i)
		if err != nil {
			t.Fatal(err)
		}
		y, err := e.EncodeImage(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range y {
			want[j] += float64(v) / float64(train.Len())
		}
	}
	for j, v := range e.Metadata().Center {
		if math.Abs(float64(v)-want[j]) > 1e-5*(1+math.Abs(want[j])) {
			t.Errorf("center[%d] is %v, want %v", j, v, want[j])
		}
	}
}

// The baseline has the initial weights of the seed, whatever was learnt since.
func TestExportUntrained(t *testing.T) {
	c := smallConfig(t, drawKinds(t, 4, 1), 16)
	a, b := madeRun(t, c, nil), madeRun(t, c, func(state tensors) { clear(state["backbone.conv1.weight"].Float32()) })
	if out := exported(t, a, "--untrained"); !strings.Contains(out, "resnet18, untrained") {
		t.Errorf("printed\n%s", out)
	}
	exported(t, b, "--untrained")
	exported(t, a)
	first, second := openEncoder(t, filepath.Join(a, "untrained.onnx")), openEncoder(t, filepath.Join(b, "untrained.onnx"))
	if first.Fingerprint() != second.Fingerprint() || first.Metadata().Training.Steps != 0 {
		t.Errorf("fingerprints %s and %s, metadata %+v", first.Fingerprint(), second.Fingerprint(), first.Metadata().Training)
	}
	if first.Fingerprint() == openEncoder(t, filepath.Join(a, "backbone.onnx")).Fingerprint() {
		t.Error("the untrained backbone is the trained one")
	}
	_, weights := pretrained(t)
	c.Init = saveTensors(t, "weights.safetensors", weights)
	given := madeRun(t, c, nil)
	exported(t, given, "--untrained")
	if openEncoder(t, filepath.Join(given, "untrained.onnx")).Fingerprint() == first.Fingerprint() {
		t.Error("the weights of --init are not those the run began with")
	}
}

// The model records all training settings except where the images were.
func TestExportKeepsSettings(t *testing.T) {
	c := smallConfig(t, drawKinds(t, 4, 1), 16)
	c.Init = "/somewhere/resnet.safetensors"
	run := madeRun(t, c, nil)
	exported(t, run)
	var got Config
	if err := json.Unmarshal(openEncoder(t, filepath.Join(run, "backbone.onnx")).Metadata().Training.Settings, &got); err != nil {
		t.Fatal(err)
	}
	if got.Data != "" || got.Init != "resnet.safetensors" || got.Batch != c.Batch || got.Recipe != c.Recipe || got.Optimizer != c.Optimizer || !slices.Equal(got.Expander, c.Expander) {
		t.Errorf("settings %+v", got)
	}
}

// A flipped bit in the exported file is detected, and so is a truncated file.
func TestExportedFileIsChecked(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 4, 1), 16), nil)
	exported(t, run)
	whole := read(t, filepath.Join(run, "backbone.onnx"))
	for i := range 200 {
		bit := i * (8*len(whole) - 1) / 199
		changed := bytes.Clone(whole)
		changed[bit/8] ^= 1 << (bit % 8)
		for what, file := range map[string][]byte{"changed": changed, "cut off": whole[:bit/8]} {
			_, err := encoder.New(orttest.Open(t), file, ort.Options{})
			if err == nil || !strings.Contains(err.Error(), "the file is ") || !strings.Contains(err.Error(), "copy or export it again") {
				t.Errorf("%s at bit %d: %v", what, bit, err)
			}
		}
	}
}

func TestExportMovedImages(t *testing.T) {
	data := drawKinds(t, 4, 1)
	run := madeRun(t, smallConfig(t, filepath.Join(data, "gone"), 16), nil)
	err := Export(t.Context(), []string{run}, io.Discard, io.Discard)
	var wrong *usage.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "gone does not exist; ") || !strings.Contains(err.Error(), "--data DIR") {
		t.Errorf("%v", err)
	}
	if out := exported(t, run, "--data", data); !strings.Contains(out, "fingerprint ") {
		t.Errorf("printed\n%s", out)
	}
	run = madeRun(t, smallConfig(t, data, 16), nil)
	for dir, said := range map[string]bool{data: false, drawKinds(t, 5, 1): true} {
		var errs bytes.Buffer
		err := Export(t.Context(), []string{run, "--data", dir, "--onnxruntime", orttest.Open(t).Path()}, io.Discard, &errs)
		if err != nil || strings.Contains(errs.String(), "the data has changed") != said {
			t.Errorf("%v, printed\n%s", err, errs.String())
		}
	}
}

// A checkpoint in the place of its run is exported by itself, beside the model of the newest.
func TestExportOfAnEarlierCheckpoint(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 4, 1), 16), nil)
	c := latest(t, run)
	for name := range c.Tensors {
		if name == "backbone.bn1.bias" {
			c.Tensors[name].Float32()[0]++
		}
	}
	c.Position.Step = 24
	if _, err := checkpoint.Save(run, c); err != nil {
		t.Fatal(err)
	}
	exported(t, run)
	at := func(name string) string { return filepath.Join(run, name) }
	newest := read(t, at("backbone.onnx"))
	for path, model := range map[string]string{
		"checkpoint-12.safetensors": "backbone-12.onnx", "checkpoint-12": "backbone-12.onnx", "checkpoint-24": "backbone-24.onnx",
	} {
		out := exported(t, at(path))
		if step := strings.Trim(model, "backone-.x"); !strings.Contains(out, at(model)+", ") || !strings.Contains(out, " after step "+step+"\n") {
			t.Errorf("%s: printed\n%s", path, out)
		}
		if got := read(t, at(model)); bytes.Equal(got, newest) != (model == "backbone-24.onnx") {
			t.Errorf("%s: the newest weights or not", model)
		}
	}
	if !bytes.Equal(read(t, at("backbone.onnx")), newest) {
		t.Error("the model of the newest checkpoint was replaced")
	}
	exported(t, at("checkpoint-12"), "--untrained")
	other := filepath.Join(t.TempDir(), "best.safetensors")
	if err := os.Rename(at("checkpoint-12.safetensors"), other); err != nil {
		t.Fatal(err)
	}
	refusal(t, "best.safetensors, which must be kept", []string{filepath.Dir(other)}, func() error {
		return Export(t.Context(), []string{other, "-o", other}, io.Discard, io.Discard)
	})
	exported(t, other)
	if !bytes.Equal(read(t, filepath.Join(filepath.Dir(other), "backbone-12.onnx")), read(t, at("backbone-12.onnx"))) {
		t.Error("the copy of a checkpoint is exported in another way")
	}
}

func TestExportLeavesBadFilesOut(t *testing.T) {
	data := drawKinds(t, 4, 1)
	if err := os.WriteFile(filepath.Join(data, "red", "broken.jpg"), []byte("\xff\xd8\xff"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := smallConfig(t, data, 16)
	c.Holdout = 0
	var out, errs bytes.Buffer
	if err := Export(t.Context(), []string{madeRun(t, c, nil), "--onnxruntime", orttest.Open(t).Path()}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "over 12 of 13 training images") || !strings.Contains(errs.String(), "skipped red/broken.jpg: ") {
		t.Errorf("printed\n%s%s", out.String(), errs.String())
	}
}

func TestExportRefuses(t *testing.T) {
	data := drawKinds(t, 4, 1)
	good := madeRun(t, smallConfig(t, data, 16), nil)
	set := func(name string, value float32) string {
		return madeRun(t, smallConfig(t, data, 16), func(state tensors) { state[name].Float32()[0] = value })
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		what  string
		ctx   context.Context
		args  []string
		want  string
		usage bool
	}{
		{"no run named", t.Context(), nil, "RUN is missing", true},
		{"no run there", t.Context(), []string{data}, "no checkpoint in " + data + ": RUN is the --out folder", true},
		{"no such folder", t.Context(), []string{good, "-o", filepath.Join(data, "none", "x.onnx")}, "none is not a folder", true},
		{"no checkpoint", t.Context(), []string{filepath.Join(data, "red", "000.jpg"), "-o", "x.onnx"}, "; RUN is the --out folder of vicreg train, or a checkpoint in it", true},
		{"standard output", t.Context(), []string{good, "-o", "-"}, "-o -: give the name of a file, or /dev/stdout", true},
		{"a folder", t.Context(), []string{good, "-o", data}, "is a folder", true},
		{"missing weights", t.Context(), []string{madeRun(t, smallConfig(t, data, 16), func(s tensors) { delete(s, "backbone.layer3.1.bn1.bias") })},
			"no value for backbone.layer3.1.bn1.bias", false},
		{"not finite", t.Context(), []string{set("backbone.bn1.bias", float32(math.Inf(1)))}, "vectors are not finite", false},
		{"ended", ended, []string{good}, "context canceled", false},
	} {
		err := Export(c.ctx, append(c.args, "--onnxruntime", orttest.Open(t).Path()), io.Discard, io.Discard)
		var wrong *usage.Error
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &wrong) != c.usage {
			t.Errorf("%s: %v (%T), want %q", c.what, err, err, c.want)
		}
		if len(c.args) == 1 && slices.ContainsFunc(names(t, c.args[0]), func(n string) bool { return strings.HasSuffix(n, ".onnx") }) {
			t.Errorf("%s: a model was written all the same", c.what)
		}
	}
}

// An export replaces an older one, but no file of the run and none of its images.
func TestExportSparesTheRunAndItsImages(t *testing.T) {
	images := drawKinds(t, 4, 1)
	_, weights := pretrained(t)
	c := smallConfig(t, images, 16)
	c.Init = saveTensors(t, "weights.safetensors", weights)
	run, dir := madeRun(t, c, nil), t.TempDir()
	for _, name := range []string{metricsFile, badFile, "training_model.onnx"} {
		put(t, run, name, []byte("of the run"))
	}
	at := func(name string) string { return filepath.Join(run, name) }
	alias, link, hard := filepath.Join(dir, "alias"), filepath.Join(dir, "link.onnx"), filepath.Join(dir, "hard.onnx")
	if err := errors.Join(os.Symlink(run, alias), os.Symlink(at(metricsFile), link), os.Link(at(metricsFile), hard)); err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{
		at("checkpoint-12.safetensors"):         "is a file of a training run",
		at("checkpoint-99.safetensors"):         "is a file of a training run", // it would become the latest
		at(metricsFile):                         "is a file of a training run",
		at(badFile):                             "is a file of a training run",
		at("training_model.onnx"):               "is a file of a training run",
		at("eval_model.onnx"):                   "is a file of a training run", // does not even exist
		filepath.Join(alias, metricsFile):       "is a file of a training run",
		run + "/./" + metricsFile:               "is a file of a training run",
		link:                                    "is a file of a training run",
		hard:                                    metricsFile + ", which must be kept",
		c.Init:                                  "which must be kept",
		filepath.Join(images, "red", "000.jpg"): "is a file of the data set",
	} {
		refusal(t, want, []string{images, run, dir, filepath.Dir(c.Init)}, func() error {
			return Export(t.Context(), []string{run, "-o", out, "--onnxruntime", orttest.Open(t).Path()}, io.Discard, io.Discard)
		})
	}
	for _, name := range []string{"model.onnx", "model.onnx"} {
		exported(t, run, "-o", at(name))
	}
}

// A model that differs from the training graph is detected.
func TestParityIsMeasured(t *testing.T) {
	c := smallConfig(t, drawKinds(t, 4, 1), 16)
	saved := latest(t, madeRun(t, c, nil))
	images, err := dataset.Index(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	e := export{config: c, values: saved.Tensors, images: images, stderr: io.Discard}
	e.machine.Library = orttest.Open(t).Path()
	model, metadata, err := e.freeze()
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.prove(t.Context(), model, metadata)
	if err != nil || p.apart == 0 || p.apart > 1e-6 {
		t.Errorf("parity %v, %v: folding rounds a little", p.apart, err)
	}
	for _, w := range model.Graph.Initializer {
		if w.Name == "backbone.layer2.0.conv1.bias" {
			x, err := onnx.TensorFrom(w)
			if err != nil {
				t.Fatal(err)
			}
			x.Float32()[0] += 0.01
			w.RawData = onnx.TensorOf(x, w.Name).RawData
		}
	}
	if _, err := e.prove(t.Context(), model, metadata); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("a bias changed by 0.01: %v", err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
