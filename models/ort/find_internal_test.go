package ort

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/tensor"
)

func TestRecent(t *testing.T) {
	for version, want := range map[string]bool{
		"1.24.0": true, "1.30.0": true, "2.0.0": true, "1.24": true, "1.100.1-dev": true,
		"1.23.9": false, "1.9.0": false, "0.99.0": false, "": false, "one.two": false, "1": false,
	} {
		if recent(version) != want {
			t.Errorf("recent(%q) is %v", version, !want)
		}
	}
}

// TestFindNothing checks the message that a new user sees first. The system may have a library,
// so only the user's own places are emptied.
func TestFindNothing(t *testing.T) {
	t.Setenv(EnvLibrary, "")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("LD_LIBRARY_PATH", "")
	path, err := Find("")
	if err == nil {
		t.Logf("the system has %s", path)
		return
	}
	for _, want := range []string{"1.24 or later", DefaultDir(), "/usr/local/lib", script, EnvLibrary} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not in %q, or not one line", want, err)
		}
	}
}

// TestFindNothingForCUDA is the same for users without a build for CUDA in these places.
func TestFindNothingForCUDA(t *testing.T) {
	t.Setenv(EnvLibrary, "")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("LD_LIBRARY_PATH", "")
	path, err := FindFor("", Device{Kind: tensor.CUDA})
	if err == nil {
		t.Logf("the system has %s", path)
		return
	}
	for _, want := range []string{"1.24 or later for CUDA", filepath.Join(DefaultDir(), "cuda"), "/usr/local/lib", script + " --cuda, or set " + EnvLibrary} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is not in %q, or not one line", want, err)
		}
	}
}

func TestSearchDirs(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	exe, err := os.Executable()
	if err == nil {
		exe, err = resolve(exe)
	}
	if err != nil {
		t.Fatal(err)
	}
	deflt, beside, system := DefaultDir(), filepath.Join(filepath.Dir(exe), ".onnxruntime"), systemDirs()
	cuda := []string{filepath.Join(deflt, "cuda"), filepath.Join(beside, "cuda")}
	own := []string{deflt, beside}
	if got, want := searchDirs(Device{}), slices.Concat(own, system, cuda); !slices.Equal(got, want) {
		t.Errorf("for the processors: got %v, want %v", got, want)
	}
	if got, want := searchDirs(Device{Kind: tensor.CUDA}), slices.Concat(cuda, own, system); !slices.Equal(got, want) {
		t.Errorf("for CUDA: got %v, want %v", got, want)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	for data, want := range map[string]string{
		"":       "/home/x/.local/share/vicreg/onnxruntime",
		"./data": "/home/x/.local/share/vicreg/onnxruntime",
		"/data":  "/data/vicreg/onnxruntime",
	} {
		t.Setenv("XDG_DATA_HOME", data)
		if got := DefaultDir(); got != want {
			t.Errorf("with %q: %s, want %s", data, got, want)
		}
	}
}
