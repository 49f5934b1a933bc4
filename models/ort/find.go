package ort

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"vicreg/models/tensor"
)

// EnvLibrary names the environment variable that points to the library.
const EnvLibrary = "VICREG_ONNXRUNTIME"

// script fetches the library.
const script = "scripts/get-onnxruntime.sh"

// Find is FindFor the host's processors.
func Find(flag string) (string, error) { return FindFor(flag, Device{}) }

// FindFor returns the library to open for a device. It looks, in this order, at the flag, at the
// environment variable VICREG_ONNXRUNTIME, into DefaultDir, into the folder .onnxruntime beside
// the executable, and into the system's library folders. The first two may name the library or
// its folder, and are final: if one is set but unusable, nothing else is tried. The working
// directory is not searched, so that a folder of images cannot bring code along. The error is one
// line that says where it looked and names the script that fetches the library.
//
// A CUDA device needs a library that has those of the provider beside it, and the folders named
// cuda in DefaultDir and in .onnxruntime are searched first. Such a library also serves the host
// if no other is found.
func FindFor(flag string, d Device) (string, error) {
	for _, asked := range []struct{ from, path string }{
		{"--onnxruntime", flag},
		{EnvLibrary, os.Getenv(EnvLibrary)},
	} {
		if asked.path == "" {
			continue
		}
		path, err := pick(asked.path, d)
		if err != nil {
			return "", fmt.Errorf("find onnx runtime%s: %s says %s: %w; run %s to fetch one", forDevice(d), asked.from, asked.path, err, fetch(d))
		}
		return path, nil
	}
	dirs := searchDirs(d)
	var refused []string
	for _, dir := range dirs {
		path, err := pick(dir, d)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			refused = append(refused, err.Error())
		}
	}
	why := "nothing in " + strings.Join(dirs, ", ")
	if len(refused) > 0 {
		why += "; not usable: " + strings.Join(refused, ", ")
	}
	return "", fmt.Errorf("find onnx runtime 1.%d or later%s: %s; run %s, or set %s", minMinor, forDevice(d), why, fetch(d), EnvLibrary)
}

// forDevice says what the library is for, unless that is the host.
func forDevice(d Device) string {
	if d.Kind == tensor.CUDA {
		return " for CUDA"
	}
	return ""
}

// fetch returns the command that fetches the library for a device.
func fetch(d Device) string {
	if d.Kind == tensor.CUDA {
		return script + " --cuda"
	}
	return script
}

// DefaultDir is where scripts/get-onnxruntime.sh puts the library:
// $XDG_DATA_HOME/vicreg/onnxruntime, by default under ~/.local/share. The build for CUDA goes
// into its folder cuda. It is empty if the user has no home directory.
func DefaultDir() string {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "vicreg", "onnxruntime")
}

// searchDirs lists the folders to search if neither the flag nor the environment names one.
func searchDirs(d Device) []string {
	var own []string
	if dir := DefaultDir(); dir != "" {
		own = append(own, dir)
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = resolve(exe); err == nil {
			own = append(own, filepath.Join(filepath.Dir(exe), ".onnxruntime"))
		}
	}
	cuda := make([]string, len(own))
	for i, dir := range own {
		cuda[i] = filepath.Join(dir, "cuda")
	}
	if d.Kind == tensor.CUDA {
		return slices.Concat(cuda, own, systemDirs())
	}
	return slices.Concat(own, systemDirs(), cuda)
}

func systemDirs() []string {
	if runtime.GOOS == "darwin" {
		return []string{"/opt/homebrew/lib", "/usr/local/lib"}
	}
	dirs := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	dirs = slices.DeleteFunc(dirs, func(d string) bool { return !filepath.IsAbs(d) })
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	return append(dirs, "/usr/local/lib", filepath.Join("/usr/lib", triplet), "/usr/lib64", "/usr/lib")
}
