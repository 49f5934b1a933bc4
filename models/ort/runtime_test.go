package ort_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
)

func TestOpenOnce(t *testing.T) {
	r := orttest.Open(t)
	link := filepath.Join(t.TempDir(), "link.so")
	if err := os.Symlink(r.Path(), link); err != nil {
		t.Fatal(err)
	}
	again, err := ort.Open(link)
	if err != nil || again != r {
		t.Errorf("the same library by another way: %p, %v; want %p", again, err, r)
	}
	other := filepath.Join(t.TempDir(), "other.so")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = ort.Open(other)
	if err == nil || !strings.Contains(err.Error(), "is already in use") {
		t.Errorf("a second library gave %v", err)
	}
	_, err = ort.Open(filepath.Join(t.TempDir(), "gone.so"))
	refused(t, err, "open onnx runtime: ")
}

func TestRuntime(t *testing.T) {
	r := orttest.Open(t)
	if !strings.HasPrefix(r.Version(), "1.") {
		t.Errorf("version %q", r.Version())
	}
	names, err := r.Providers()
	if err != nil || !slices.Contains(names, "CPUExecutionProvider") {
		t.Errorf("providers %v, %v", names, err)
	}
}

func TestFind(t *testing.T) {
	good := orttest.Open(t).Path()
	noise := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(noise, []byte("noise"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty, home := t.TempDir(), t.TempDir()
	deflt := filepath.Join(home, "vicreg", "onnxruntime")
	if err := os.MkdirAll(deflt, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(good, filepath.Join(deflt, filepath.Base(good))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, flag, env, data string
		err                   string // "" if the good library is to be found
	}{
		{what: "a file", flag: good},
		{what: "a folder", flag: deflt},
		{what: "the flag before the environment", flag: good, env: noise},
		{what: "the environment", env: good},
		{what: "the environment before the default", env: good, data: empty},
		{what: "the default folder", data: home},
		{what: "a bad flag is final", flag: noise, env: good, data: home, err: "--onnxruntime says " + noise},
		{what: "a folder without it", flag: empty, env: good, err: "--onnxruntime says " + empty},
		{what: "a bad environment is final", env: "/no/such/file", data: home, err: "VICREG_ONNXRUNTIME says /no/such/file"},
	} {
		t.Setenv("VICREG_ONNXRUNTIME", c.env)
		t.Setenv("XDG_DATA_HOME", c.data)
		path, err := ort.Find(c.flag)
		if c.err == "" && (err != nil || path != good) {
			t.Errorf("%s: found %q, %v", c.what, path, err)
		}
		if c.err != "" {
			refused(t, err, "find onnx runtime: "+c.err)
			if err != nil && !strings.Contains(err.Error(), "scripts/get-onnxruntime.sh") {
				t.Errorf("%s: the script is not named: %v", c.what, err)
			}
		}
	}
}
