package encoder_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// The vectors of an adapted model equal those that Python's onnxruntime computes with the foreign
// one on pixels normalised by NumPy.
func TestForeignInPython(t *testing.T) {
	if os.Getenv(orttest.EnvPython) == "" {
		t.Skipf("%s is not set: it names a Python with the packages onnx and onnxruntime (scripts/test.sh sets it)", orttest.EnvPython)
	}
	const n = 4
	dir, m := t.TempDir(), plainForeign(t)
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("foreign.onnx", marshal(t, m))
	e := adapted(t, m, how())
	write("adapted.onnx", marshal(t, m))
	x := pixels(e, n)
	y, err := e.Encode(t.Context(), x, n)
	if err != nil {
		t.Fatal(err)
	}
	compared := func(mean [3]float64) (string, error) {
		var b strings.Builder
		err := tensor.WriteSafetensors(&b, map[string]*tensor.Tensor{"pixels": tensor.Of(x, n, side, side, 3),
			"mean": three(mean), "std": three(imagenet.Std), "embedding": tensor.Of(y, n, width)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		write("data.safetensors", []byte(b.String()))
		out, err := exec.Command(os.Getenv(orttest.EnvPython), "-B", "../../scripts/golden/foreign.py", dir).CombinedOutput()
		t.Logf("%.200s", out)
		return string(out), err
	}
	if out, err := compared(imagenet.Mean); err != nil || !strings.Contains(out, "4 vectors off by at most") {
		t.Errorf("%v: %s", err, out)
	}
	// Check that the script can fail.
	if out, err := compared([3]float64{.5, .456, .406}); err == nil || !strings.HasPrefix(out, "foreign is off by") {
		t.Errorf("%v: %s", err, out)
	}
}

func three(v [3]float64) *tensor.Tensor {
	return tensor.Of([]float32{float32(v[0]), float32(v[1]), float32(v[2])})
}
