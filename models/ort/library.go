package ort

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"vicreg/models/tensor"
)

// minMinor is the first 1.x release whose C API onnxruntime_go can use.
const minMinor = 24

// pick returns the library usable for a device: path itself or, if that is a folder, one in it.
// The error is fs.ErrNotExist if there is none at all.
func pick(path string, d Device) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	names := []string{path}
	if info.IsDir() {
		names = libraries(path)
	}
	err = &os.PathError{Op: "find", Path: filepath.Join(path, libraryName()), Err: os.ErrNotExist}
	for _, name := range names {
		var full string
		if full, err = resolve(name); err != nil {
			continue
		}
		if _, err = usable(full); err == nil {
			err = provided(full, d)
		}
		if err == nil {
			return full, nil
		}
	}
	return "", err
}

// libraries lists the files in a folder that are named like the library, the plain name first.
func libraries(dir string) []string {
	base, ext, _ := strings.Cut(libraryName(), ".")
	names, _ := filepath.Glob(filepath.Join(dir, base+".*"))
	names = slices.DeleteFunc(names, func(n string) bool {
		return !slices.Contains(strings.Split(filepath.Base(n), "."), ext)
	})
	slices.SortStableFunc(names, func(a, b string) int { return len(a) - len(b) })
	return names
}

func libraryName() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.dylib"
	}
	return "libonnxruntime.so"
}

// provided checks that the library at path has beside it, where it looks itself, the files that
// it loads for a device.
func provided(path string, d Device) error {
	if d.Kind != tensor.CUDA {
		return nil
	}
	for _, name := range []string{"libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil {
			return fmt.Errorf("%s is not a CUDA build: %s is not next to it", path, name)
		}
	}
	return nil
}

// usable loads the library at path and returns its version, or an error if it cannot be loaded
// here or is too old.
func usable(path string) (string, error) {
	version, err := libraryVersion(path)
	if err != nil {
		return "", fmt.Errorf("%s is not an ONNX Runtime for this machine: %w", path, err)
	}
	if !recent(version) {
		return "", fmt.Errorf("%s is version %s, older than 1.%d", path, version, minMinor)
	}
	return version, nil
}

func recent(version string) bool {
	part := strings.SplitN(version, ".", 3)
	if len(part) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(part[0])
	minor, err2 := strconv.Atoi(part[1])
	return err1 == nil && err2 == nil && (major > 1 || major == 1 && minor >= minMinor)
}
