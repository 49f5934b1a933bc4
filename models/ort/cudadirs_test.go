package ort

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folders creates folders below a root and returns the root, with links resolved.
func folders(t *testing.T, names ...string) string {
	t.Helper()
	root, err := resolve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestCUDADirs has a system Python, a virtual environment's that links to it, another environment
// and the user's own packages.
func TestCUDADirs(t *testing.T) {
	root := folders(t, "base/bin", "venv/bin",
		"base/lib/python3.12/site-packages/nvidia/cu13/lib", "base/lib/python3.12/dist-packages/nvidia/cudnn/lib",
		"venv/lib/python3.12/site-packages/nvidia/cu13/lib",
		"active/lib/python3.13/site-packages/nvidia/cu13/lib", "active/lib/python3.13/site-packages/nvidia/cudnn/include",
		"home/.local/lib/python3.11/site-packages/nvidia/cudnn/lib", "runtime")
	if err := os.WriteFile(filepath.Join(root, "base/bin/python3"), []byte("#!/bin/false\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../base/bin/python3", filepath.Join(root, "venv/bin/python3")); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvCUDA, "")
	t.Setenv("PATH", filepath.Join(root, "venv/bin"))
	t.Setenv("VIRTUAL_ENV", filepath.Join(root, "active"))
	t.Setenv("HOME", filepath.Join(root, "home"))
	below := func() (dirs []string) {
		first, last := cudaDirs(filepath.Join(root, "runtime"))
		if first != nil {
			t.Errorf("before the loader's places: %v", first)
		}
		for _, dir := range last {
			if !filepath.IsAbs(dir) {
				t.Errorf("%q is not absolute", dir)
			}
			if name, found := strings.CutPrefix(dir, root+"/"); found {
				dirs = append(dirs, name)
			}
		}
		return dirs
	}
	home := "home/.local/lib/python3.11/site-packages/nvidia/cudnn/lib"
	want := []string{
		"runtime",
		"active/lib/python3.13/site-packages/nvidia/cu13/lib",
		"venv/lib/python3.12/site-packages/nvidia/cu13/lib",
		"base/lib/python3.12/site-packages/nvidia/cu13/lib",
		"base/lib/python3.12/dist-packages/nvidia/cudnn/lib",
		home,
	}
	if got := below(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// Relative paths could be anybody's.
	t.Chdir(root)
	t.Setenv("PATH", "venv/bin")
	t.Setenv("VIRTUAL_ENV", "active")
	if got, want := below(), []string{"runtime", home}; !slices.Equal(got, want) {
		t.Errorf("with relative places: got %v, want %v", got, want)
	}
	// What the user lists is used, relative or not.
	site := filepath.Join(root, "active/lib/python3.13/site-packages")
	t.Setenv(EnvCUDA, site+"::runtime")
	first, last := cudaDirs(filepath.Join(root, "runtime"))
	want = []string{site, filepath.Join(site, "nvidia/cu13/lib"), filepath.Join(root, "runtime")}
	if !slices.Equal(first, want) || last != nil {
		t.Errorf("with %s: got %v and %v, want %v", EnvCUDA, first, last, want)
	}
}
