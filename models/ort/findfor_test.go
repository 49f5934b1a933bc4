package ort_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// TestFindFor tells the build for CUDA from that for the host by the libraries beside it, in
// whose place there are empty files.
func TestFindFor(t *testing.T) {
	plain := orttest.Open(t).Path()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home, partial := filepath.Join(base, "home"), filepath.Join(base, "partial")
	deflt := filepath.Join(home, "vicreg", "onnxruntime", "cuda")
	for _, dir := range []string{deflt, partial} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		copyFile(t, plain, filepath.Join(dir, filepath.Base(plain)))
		copyFile(t, os.DevNull, filepath.Join(dir, "libonnxruntime_providers_shared.so"))
	}
	copyFile(t, os.DevNull, filepath.Join(deflt, "libonnxruntime_providers_cuda.so"))
	good, lacks := filepath.Join(deflt, filepath.Base(plain)), "is not a CUDA build: libonnxruntime_providers_cuda.so is not next to it"
	for _, c := range []struct {
		what, flag, env, data string
		err                   string // "" if the good library is to be found
	}{
		{what: "a file", flag: good},
		{what: "a folder", flag: deflt},
		{what: "the environment", env: deflt, data: base},
		{what: "the default folder", data: home},
		{what: "a flag that lacks one is final", flag: partial, env: good, data: home, err: lacks},
		{what: "an environment that lacks one is final", env: partial, data: home, err: lacks},
	} {
		t.Setenv("VICREG_ONNXRUNTIME", c.env)
		t.Setenv("XDG_DATA_HOME", c.data)
		path, err := ort.FindFor(c.flag, ort.Device{Kind: tensor.CUDA, Index: 1})
		if c.err == "" && (err != nil || path != good) {
			t.Errorf("%s: found %q, %v", c.what, path, err)
		}
		if c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), "find onnx runtime for CUDA: ") ||
			!strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "scripts/get-onnxruntime.sh --cuda")) {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
	// It also serves the host, unless another library does.
	t.Setenv("VICREG_ONNXRUNTIME", "")
	t.Setenv("XDG_DATA_HOME", home)
	if path, err := ort.Find(""); err != nil {
		t.Error(err)
	} else if path != good {
		t.Logf("the system has %s", path)
	}
	if path, err := ort.Find(deflt); err != nil || path != good {
		t.Errorf("for the processors: %q, %v", path, err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
