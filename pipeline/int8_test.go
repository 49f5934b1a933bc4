package pipeline

import (
	"bytes"
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
)

// The int8 model is a separate file beside the float32 one, with nearly the same vectors; two
// exports are byte-identical.
func TestExportInt8(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 12, 1), 32), nil)
	exported(t, run)
	out := exported(t, run, "--int8")
	path := filepath.Join(run, "backbone-int8.onnx")
	full, small := openEncoder(t, filepath.Join(run, "backbone.onnx")), openEncoder(t, path)
	for _, want := range []string{path, "fingerprint " + small.Fingerprint(), "int8        mean cosine to float32 0.9"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if full.Fingerprint() == small.Fingerprint() {
		t.Error("the two models have one fingerprint")
	}
	q := small.Metadata().Training.Quantization
	if q == nil || q.Images < 2 || !(q.Cosine > 0.95 && q.Cosine < 1) || full.Metadata().Training.Quantization != nil {
		t.Errorf("quantization %+v, of the other %+v", q, full.Metadata().Training.Quantization)
	}
	if large, n := len(read(t, filepath.Join(run, "backbone.onnx"))), len(read(t, path)); 2*n > large {
		t.Errorf("the file has %d bytes, and %d in float32", n, large)
	}
	pixels := bytes.Repeat([]byte{10, 200, 30, 90}, 3*32*32/4)
	want, err := full.Encode(t.Context(), pixels, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := small.Encode(t.Context(), pixels, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(got, want); !(d > 0 && d < 0.3) {
		t.Errorf("a vector is %.3f of its length away from that in float32", d)
	}
	again := filepath.Join(t.TempDir(), "again.onnx")
	exported(t, run, "--int8", "-o", again)
	if !bytes.Equal(read(t, path), read(t, again)) {
		t.Error("two exports of one run differ")
	}
}

func TestInt8IsForCPUs(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 4, 1), 16), nil)
	err := Export(t.Context(), []string{run, "--int8", "--device", "cuda"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "--int8 makes a model for CPUs") {
		t.Errorf("export: %v", err)
	}
	exported(t, run, "--int8")
	_, err = encoder.Open(orttest.Open(t), filepath.Join(run, "backbone-int8.onnx"), ort.Options{Device: ort.Device{Kind: tensor.CUDA}})
	if err == nil || !strings.Contains(err.Error(), "export it without --int8") {
		t.Errorf("encoder: %v", err)
	}
}

// A model too far from float32 is not written.
func TestInt8ThatIsFarOffIsRefused(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 12, 1), 32), func(state tensors) {
		clear(state["backbone.conv1.weight"].Float32()[:27]) // a channel that is constant everywhere
		state["backbone.bn1.weight"].Float32()[0] = 0
		state["backbone.bn1.bias"].Float32()[0] = 1e4 // and so large that the quantization step swallows all others
	})
	var out bytes.Buffer
	err := Export(context.Background(), []string{run, "--int8", "--onnxruntime", orttest.Open(t).Path()}, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("%v, printed\n%s", err, &out)
	}
	if matches, _ := filepath.Glob(filepath.Join(run, "*int8*")); len(matches) > 0 {
		t.Errorf("left behind: %v", matches)
	}
}

// Images without a direction of their own leave nothing to compare; a single one among others is
// skipped.
func TestDistinct(t *testing.T) {
	want, got := distinct(stats.Of([]float32{3, 4, 3, 4}, 2, 2), stats.Of([]float32{3, 4.1, 3, 4}, 2, 2))
	if want.N != 0 || got.N != 0 {
		t.Errorf("of equal vectors %v and %v are left", want, got)
	}
	want, got = distinct(stats.Of([]float32{1, 0, 2, 0, 3, 0}, 3, 2), stats.Of([]float32{1, 1, 2, 1, 3, 1}, 3, 2))
	if want.N != 2 || got.N != 2 || got.Row(1)[0] != 1 || got.Row(1)[1] != 1 {
		t.Errorf("%v and %v are left", want, got)
	}
}

// When the model goes to a pipe, nothing else is written there.
func TestExportToAPipe(t *testing.T) {
	run := madeRun(t, smallConfig(t, drawKinds(t, 4, 1), 16), nil)
	exported(t, run)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(pipe)
		read <- b
	}()
	if out := exported(t, run, "-o", pipe); out != "" {
		t.Errorf("printed where the model may go to: %s", out)
	}
	if want, _ := os.ReadFile(filepath.Join(run, "backbone.onnx")); !bytes.Equal(<-read, want) {
		t.Error("the pipe has another model than the file")
	}
}

func TestNearestAndCosine(t *testing.T) {
	all := stats.Of([]float32{1, 0, 0.9, 0.1, 0, 1, -1, 0}, 4, 2)
	if got := nearestOf(all); !slices.Equal(got, []int{1, 0, 1, 2}) {
		t.Errorf("nearest are %v", got)
	}
	if got := nearestOf(stats.Of([]float32{1, 0}, 1, 2)); got[0] != -1 {
		t.Errorf("nearest to one alone is %v", got)
	}
	if c := cosine([]float32{3, 4}, []float32{4, 3}); math.Abs(c-0.96) > 1e-12 || cosine([]float32{0}, []float32{0}) != 1 {
		t.Errorf("cosine %v", c)
	}
	want, got := distinct(stats.Of([]float32{1, 2, 3, 4}, 2, 2), stats.Of([]float32{2, 2, 3, 5}, 2, 2))
	if want.Row(0)[0] != -1 || want.Row(1)[1] != 1 || got.Row(0)[0] != 0 || got.Row(1)[1] != 2 {
		t.Errorf("centred: %v and %v", want, got)
	}
}
