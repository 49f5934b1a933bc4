package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/usage"
)

// writeImages fills a folder with n small random pictures.
func writeImages(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		m := image.NewRGBA(image.Rect(0, 0, 20, 20))
		tint := [3]int{r.IntN(128), r.IntN(128), r.IntN(128)}
		for y := range 20 {
			for x := range 20 {
				m.Set(x, y, color.RGBA{uint8(tint[0] + r.IntN(128)), uint8(tint[1] + 4*x), uint8(tint[2] + 4*y), 255})
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// train runs vicreg train with a small model and returns its output.
func train(t *testing.T, ctx context.Context, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Train(ctx, smallRun(t, args), &out, &out)
	return out.String(), err
}

// smallRun adds the runtime and, unless a run is resumed, the flags that make it small.
func smallRun(t *testing.T, args []string) []string {
	t.Helper()
	small := []string{"--onnxruntime", orttest.Open(t).Path()}
	if !slices.Contains(args, "--resume") {
		small = append(small, "--width", "16", "--image-size", "16", "--batch", "8", "--expander", "32-32-32", "--epochs", "2", "--lr", "0.05")
	}
	return append(small, args...)
}

// printer collects output and calls do with every write.
type printer struct {
	bytes.Buffer
	do func(written []byte)
}

func (p *printer) Write(b []byte) (int, error) {
	p.do(b)
	return p.Buffer.Write(b)
}

func latest(t *testing.T, dir string) *checkpoint.Checkpoint {
	t.Helper()
	c, warnings, err := checkpoint.Latest(dir)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	return c
}

func TestResumeIsExact(t *testing.T) {
	data, whole, parts := writeImages(t, 28), t.TempDir(), t.TempDir()
	if _, err := train(t, t.Context(), "--data", data, "--out", whole); err != nil {
		t.Fatal(err)
	}
	// A time limit of a nanosecond stops after every single step.
	if _, err := train(t, t.Context(), "--data", data, "--out", parts, "--time-limit", "1ns"); err != nil {
		t.Fatal(err)
	}
	for resumed := 0; latest(t, parts).Position.Epoch < 2; resumed++ {
		if resumed > 20 {
			t.Fatal("the run does not end")
		}
		if out, err := train(t, t.Context(), "--out", parts, "--resume", "--time-limit", "1ns"); err != nil {
			t.Fatal(out, err)
		}
	}
	a, b := latest(t, whole), latest(t, parts)
	if a.Position != b.Position || a.Position.Step < 6 {
		t.Fatalf("positions %+v and %+v", a.Position, b.Position)
	}
	for name := range a.Tensors {
		if !reflect.DeepEqual(a.Tensors[name], b.Tensors[name]) {
			t.Fatalf("%s differs after resuming", name)
		}
	}
	if x, y := steps(t, whole), steps(t, parts); x != y || x != int(a.Position.Step) {
		t.Errorf("%d and %d step lines in the metrics for %d steps", x, y, a.Position.Step)
	}
}

func steps(t *testing.T, run string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(run, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), `"kind":"step"`)
}

func TestTrainLearnsAndLeavesItsArtifacts(t *testing.T) {
	data, out := writeImages(t, 40), t.TempDir()
	os.WriteFile(filepath.Join(data, "torn.png"), []byte("\x89PNG\r\n\x1a\nnothing"), 0o666)
	os.WriteFile(filepath.Join(data, "empty.jpg"), nil, 0o666)
	printed, err := train(t, t.Context(), "--data", data, "--out", out, "--holdout", "0.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"held out", "peak lr 0.05 (given)", "epoch   2", "done"} {
		if !strings.Contains(printed, want) {
			t.Errorf("no %q in\n%s", want, printed)
		}
	}
	for _, name := range []string{"training_model.onnx", "optimizer_model.onnx", "eval_model.onnx", metricsFile, "bad-images.txt"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad, _ := os.ReadFile(filepath.Join(out, "bad-images.txt"))
	if !strings.Contains(string(bad), "torn.png\t") || !strings.Contains(string(bad), "empty.jpg\t") {
		t.Errorf("bad images listed:\n%s", bad)
	}
	told := "2 of 42 images are bad, see " + filepath.Join(out, "bad-images.txt")
	lines := strings.Split(printed, "\n")
	if strings.Count(printed, "  | "+told+"\n") != 1 || !strings.Contains(lines[len(lines)-2], "; "+told+"; next: ") {
		t.Errorf("no %q after an epoch and at the end:\n%s", told, printed)
	}
	if kept, _ := os.ReadFile(filepath.Join(out, metricsFile)); !strings.Contains(string(kept), `"bad_images":2,"chance":`) {
		t.Errorf("metrics:\n%s", kept)
	}
}

// A run interrupted before its first step ends with the checkpoint it has already; later, it first
// finishes the step.
func TestInterruptedRunSavesAndSaysSo(t *testing.T) {
	data := writeImages(t, 40)
	for at, want := range map[string]checkpoint.Position{
		"images ":   {},
		"epoch   0": {},
		"epoch   1": {Step: 5, Epoch: 1, Batch: 1},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out, printed := t.TempDir(), &printer{}
		printed.do = func(b []byte) {
			if bytes.HasPrefix(b, []byte(at)) {
				cancel()
			}
		}
		err := Train(ctx, smallRun(t, []string{"--data", data, "--out", out}), printed, io.Discard)
		if !errors.Is(err, context.Canceled) || !strings.Contains(printed.String(), "to continue: vicreg train --out") {
			t.Fatalf("at %q: error %v, printed\n%s", at, err, printed)
		}
		if p := latest(t, out).Position; p.Step != want.Step || p.Epoch != want.Epoch || p.Batch != want.Batch || steps(t, out) != int(want.Step) {
			t.Errorf("at %q: saved at %+v, %d steps in the metrics", at, p, steps(t, out))
		}
		if out, err := train(t, t.Context(), "--out", out, "--resume"); err != nil || !strings.Contains(out, "done ") {
			t.Errorf("at %q: resumed: %v\n%s", at, err, out)
		}
	}
}

func TestWrongInputIsOneClearLine(t *testing.T) {
	data, run := writeImages(t, 12), t.TempDir()
	if _, err := train(t, t.Context(), "--data", data, "--out", run, "--epochs", "1", "--holdout", "0"); err != nil {
		t.Fatal(err)
	}
	lone := writeImages(t, 1)
	empty, fresh := t.TempDir(), filepath.Join(t.TempDir(), "new")
	for want, args := range map[string][]string{
		"--data DIR is missing":                {"--out", fresh},
		"--out RUN is missing":                 {"--data", data},
		"does not exist":                       {"--data", data + "/none", "--out", fresh},
		"no image in":                          {"--data", empty, "--out", fresh},
		"want a fraction above 0":              {"--data", data, "--out", fresh, "--max-bad", "0"},
		"hue of 3 is not within":               {"--data", data, "--out", fresh, "--augment", "hue=3"},
		"needs at least 2":                     {"--data", data, "--out", fresh, "--batch", "1"},
		"1 to train on and 0 held out, while":  {"--data", lone, "--out", fresh, "--batch", "256"},
		"one, such as --batch 3":               {"--data", data, "--out", fresh, "--batch", "13", "--holdout", "0"},
		"larger than the":                      {"--data", data, "--out", fresh, "--batch", "64"},
		`unknown model "vgg"`:                  {"--data", data, "--out", fresh, "--model", "vgg"},
		`unknown stem "big"`:                   {"--data", data, "--out", fresh, "--stem", "big"},
		`unknown optimizer "adam"`:             {"--data", data, "--out", fresh, "--optimizer", "adam"},
		"want widths like":                     {"--data", data, "--out", fresh, "--expander", "a-b"},
		"unknown flag --wdith; did you":        {"--data", data, "--out", fresh, "--wdith", "3"},
		"already holds a run":                  {"--data", data, "--out", run},
		"no checkpoint in":                     {"--out", empty, "--resume"},
		"cannot change with --resume":          {"--out", run, "--resume", "--seed", "2"},
		"fp16 needs --device cuda":             {"--data", data, "--out", fresh, "--precision", "fp16"},
		"bf16 needs --device cuda":             {"--data", data, "--out", fresh, "--precision", "bf16"},
		"portable lacks bfloat16":              {"--data", data, "--out", fresh, "--precision", "bf16", "--device", "cuda", "--kernels", "portable"},
		"tf32 needs --device cuda":             {"--out", run, "--resume", "--precision", "tf32"},
		"want fp32, tf32, fp16 or bf16":        {"--data", data, "--out", fresh, "--precision", "half"},
		"--device: unknown device":             {"--data", data, "--out", fresh, "--device", "gpu"},
		"is for the CPU":                       {"--data", data, "--out", fresh, "--device", "cuda:1", "--kernels", "nchwc"},
		"want auto, portable, nchwc or cudnn":  {"--data", data, "--out", fresh, "--kernels", "fast"},
		"want a fraction from 0 to 0.9":        {"--data", data, "--out", fresh, "--holdout", "1"},
		"want a coefficient from 0":            {"--data", data, "--out", fresh, "--variance", "-1"},
		"--covariance NaN: want":               {"--data", data, "--out", fresh, "--covariance", "NaN"},
		"--augment: mean 127: want the mean":   {"--data", data, "--out", fresh, "--augment", "mean=127:127:127,std=50:50:50"},
		"--augment: std 1.5: want 0.0001 to 1": {"--data", data, "--out", fresh, "--augment", "std=1.5:1:1"},
		"--augment: mean -0.1: want the mean":  {"--data", data, "--out", fresh, "--augment", "mean=0:0:-0.1"},
		"the loss would always be 0":           {"--data", data, "--out", fresh, "--invariance", "0", "--variance", "0", "--covariance", "0"},
		"--invariance +Inf: want":              {"--data", data, "--out", fresh, "--invariance", "Inf"},
		"--holdout NaN: want":                  {"--data", data, "--out", fresh, "--holdout", "NaN"},
		"--lr -1: want":                        {"--data", data, "--out", fresh, "--lr", "-1"},
		"--lr NaN: want":                       {"--data", data, "--out", fresh, "--lr", "NaN"},
		"--lr 1e+39: want":                     {"--data", data, "--out", fresh, "--lr", "1e39"},
		"--warmup 3: with --epochs 2 the run ": {"--data", data, "--out", fresh, "--warmup", "3"},
		"--warmup -1: want":                    {"--data", data, "--out", fresh, "--warmup", "-1"},
		"--weight-decay NaN: want":             {"--data", data, "--out", fresh, "--weight-decay", "NaN"},
		"--clip-norm -1: want":                 {"--data", data, "--out", fresh, "--clip-norm", "-1"},
		"--clip-norm NaN: want":                {"--data", data, "--out", fresh, "--clip-norm", "NaN"},
		"--clip-norm +Inf: want":               {"--data", data, "--out", fresh, "--clip-norm", "Inf"},
		"--clip-norm is a setting of the run":  {"--out", run, "--resume", "--clip-norm", "1"},
		"--width 4097: want":                   {"--data", data, "--out", fresh, "--width", "4097"},
		"--expander 32-131073: want":           {"--data", data, "--out", fresh, "--expander", "32-131073"},
		"--epochs 1000001: want":               {"--data", data, "--out", fresh, "--epochs", "1000001"},
		"--workers 5000: want":                 {"--data", data, "--out", fresh, "--workers", "5000"},
		"--cache-mb 9223372036854: want":       {"--data", data, "--out", fresh, "--cache-mb", "9223372036854"},
		"4096, or 0 for one a core":            {"--data", data, "--out", fresh, "--workers", "-1"},
		"--threads -1: want":                   {"--data", data, "--out", fresh, "--threads", "-1"},
		"--cache-mb -1: want":                  {"--data", data, "--out", fresh, "--cache-mb", "-1"},
		"want a time above 0, or 0 for none":   {"--data", data, "--out", fresh, "--time-limit", "-1s"},
		"--checkpoint-every -1s: want":         {"--data", data, "--out", fresh, "--checkpoint-every", "-1s"},
		"give only one of them":                {"--out", run, "--resume", "--force"},
		"not a folder":                         {"--data", data, "--out", filepath.Join(data, "000.png")},
	} {
		_, err := train(t, t.Context(), args...)
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: got %v, want a usage error with %q", args, err, want)
		}
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a refused run left a folder")
	}
}

// The length of an SGD step without momentum and weight decay is the learning rate times the norm
// of the gradient, clipped if set; the metrics have the unclipped norm.
func TestClippedStep(t *testing.T) {
	data := writeImages(t, 16)
	for _, bound := range []float64{0.01, 1000, 0} {
		out := t.TempDir()
		args := []string{"--data", data, "--out", out, "--holdout", "0", "--optimizer", "sgd", "--weight-decay", "0", "--warmup", "0",
			"--clip-norm", fmt.Sprint(bound), "--time-limit", "1ns"}
		printed, err := train(t, t.Context(), args...)
		if err != nil || strings.Contains(printed, "gradients clipped to a norm of "+fmt.Sprint(bound)) != (bound > 0) {
			t.Fatal(printed, err)
		}
		if c := configOf(t, out); c.Optimizer.ClipNorm != bound {
			t.Errorf("the checkpoint has %+v", c.Optimizer)
		}
		before, err := checkpoint.Load(filepath.Join(out, "checkpoint-0.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		var squares float64
		after := latest(t, out)
		for name, x := range after.Tensors {
			if after.Tensors[name+".momentum"] == nil {
				continue // not a weight
			}
			for i, w := range x.Float32() {
				squares += math.Pow(float64(w-before.Tensors[name].Float32()[i]), 2)
			}
		}
		norm := stepLines(t, out)[0].GradNorm
		want := 0.05 * norm
		if bound > 0 {
			want = 0.05 * min(norm, bound)
		}
		if got := math.Sqrt(squares); !(math.Abs(got/want-1) < 1e-3) || norm < 1 || norm > 1000 {
			t.Errorf("--clip-norm %g: a step of length %g, want %g; the gradient's norm is %g", bound, got, want, norm)
		}
	}
}

func TestForceStartsAnew(t *testing.T) {
	data, run := writeImages(t, 12), t.TempDir()
	for _, args := range [][]string{{"--seed", "1"}, {"--seed", "2", "--force"}} {
		if _, err := train(t, t.Context(), append(args, "--data", data, "--out", run, "--epochs", "1", "--holdout", "0")...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := train(t, t.Context(), "--data", data, "--out", run, "--force", "--init", filepath.Join(data, "000.png")); err == nil {
		t.Error("a picture was taken for weights")
	}
	c := latest(t, run) // still there after a failed start
	if c.Position.Seed != 2 || c.Position.Step != 1 || steps(t, run) != 1 {
		t.Errorf("position %+v, %d step lines", c.Position, steps(t, run))
	}
	if len(slices.Collect(maps.Keys(c.Tensors))) == 0 {
		t.Error("no tensors saved")
	}
}

func TestARunThatCannotFitIsRefused(t *testing.T) {
	c := smallConfig(t, "", 16)
	a, err := models.Step(c.graphs(0))
	if err != nil {
		t.Fatal(err)
	}
	parameters := 0
	for _, v := range a.State {
		parameters += tensor.Elements(v.Shape)
	}
	r := &run{trainFlags: &trainFlags{settings: settings{Config: c}}, artifact: a}
	needs := r.needs()
	if least := int64(8*parameters + 2*3*c.Batch*c.Size*c.Size); needs < least || needs > 2*least {
		t.Errorf("needs %d bytes for %d parameters", needs, parameters)
	}
	r.machine.Device = cuda // device memory holds the state, the host only a copy to save
	if saved := needs - r.needs(); saved < int64(4*parameters) || saved > int64(4*parameters)+needs/4 {
		t.Errorf("needs %d bytes less with the state of %d parameters on a device", saved, parameters)
	}
	if err := errors.Join(enough(needs, needs), enough(needs, 0)); err != nil {
		t.Error(err)
	}
	var wrong *usage.Error
	if err := enough(5<<30, 4<<30); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "needs 5.0 GiB of memory at the least and the machine has 4.0") {
		t.Errorf("got %v", err)
	}
}
