package ort

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// EnvLibrary names the environment variable that points to the library.
const EnvLibrary = "VICREG_ONNXRUNTIME"

// minMinor is the first 1.x release whose C API onnxruntime_go can use.
const minMinor = 24

// script is what to run when there is no library.
const script = "scripts/get-onnxruntime.sh"

// Find returns the library to open. It looks, in this order, at the flag, at
// the environment variable VICREG_ONNXRUNTIME, into DefaultDir, into the folder
// .onnxruntime beside the program, and where the system keeps its libraries.
// The first two may name the library or its folder, and are final: when one is
// set and is no good, nothing else is tried. The working directory is not looked
// into, so that a folder of images cannot bring code along. The error is one
// line that says where it looked and names the script that fetches the library.
func Find(flag string) (string, error) {
	for _, asked := range []struct{ from, path string }{
		{"the flag", flag},
		{EnvLibrary, os.Getenv(EnvLibrary)},
	} {
		if asked.path == "" {
			continue
		}
		path, err := pick(asked.path)
		if err != nil {
			return "", fmt.Errorf("find onnx runtime: %s says %s: %w; run %s to fetch one", asked.from, asked.path, err, script)
		}
		return path, nil
	}
	dirs := searchDirs()
	var refused []string
	for _, dir := range dirs {
		path, err := pick(dir)
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
	return "", fmt.Errorf("find onnx runtime 1.%d or later: %s; run %s, or set %s", minMinor, why, script, EnvLibrary)
}

// DefaultDir is where scripts/get-onnxruntime.sh puts the library:
// $XDG_DATA_HOME/vicreg/onnxruntime, by default under ~/.local/share. It is
// empty when the user has no home.
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

// searchDirs lists the folders to look into when nobody said where.
func searchDirs() []string {
	var dirs []string
	if dir := DefaultDir(); dir != "" {
		dirs = append(dirs, dir)
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = resolve(exe); err == nil {
			dirs = append(dirs, filepath.Join(filepath.Dir(exe), ".onnxruntime"))
		}
	}
	return append(dirs, systemDirs()...)
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

// pick returns the usable library that path is or, when it is a folder, holds.
// The error is fs.ErrNotExist when there is none at all.
func pick(path string) (string, error) {
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
			return full, nil
		}
	}
	return "", err
}

// libraries lists what in a folder is named like the library, the plain name
// first.
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

// usable loads the library at path and tells its version; an error when it
// cannot be loaded here or is too old.
func usable(path string) (string, error) {
	version, err := libraryVersion(path)
	if err != nil {
		return "", fmt.Errorf("%s is not an onnx runtime for this machine: %w", path, err)
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

// FindFor TEMP
func FindFor(flag string, d Device) (string, error) {
	if d == (Device{}) {
		return Find(flag)
	}
	if flag == "" && os.Getenv(EnvLibrary) == "" {
		flag = filepath.Join(DefaultDir(), "cuda")
	}
	return Find(flag)
}
