package ort

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// EnvCUDA names the environment variable with a list of folders that hold the
// libraries of CUDA and cuDNN, or Python's packages of them.
const EnvCUDA = "VICREG_CUDA_LIBRARIES"

// cudaDirs lists the folders to look for CUDA's libraries in, before the loader's own
// places and after them. Where nothing is given, none is relative: what the working
// directory holds is not loaded.
func cudaDirs(runtime string) (first, last []string) {
	if list := os.Getenv(EnvCUDA); list != "" {
		for _, dir := range filepath.SplitList(list) {
			if abs, err := filepath.Abs(dir); err == nil && dir != "" {
				first = append(append(first, abs), pipDirs(abs)...)
			}
		}
		return first, nil
	}
	if filepath.IsAbs(runtime) {
		last = append(last, runtime)
	}
	last = append(last, "/usr/local/cuda/lib64")
	for _, pattern := range []string{"/usr/local/cuda-13*/lib64", "/usr/local/cuda*/targets/x86_64-linux/lib"} {
		last = append(last, matches(pattern)...)
	}
	for _, dir := range sitePackages() {
		last = append(last, pipDirs(dir)...)
	}
	// Where a container or WSL has the driver, when the loader was not told.
	return nil, append(last, "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib")
}

// pipDirs lists the folders of libraries in those of NVIDIA's packages that are
// installed in a folder of Python's packages.
func pipDirs(site string) []string { return matches(filepath.Join(site, "nvidia", "*", "lib")) }

// sitePackages lists where Python's packages may be: those of the python3 that would
// run and of the virtual environment, the user's and the system's. No Python is run.
func sitePackages() []string {
	var prefixes []string
	if python, err := exec.LookPath("python3"); err == nil && filepath.IsAbs(python) {
		// That of a virtual environment is a link to the system's.
		prefixes = append(prefixes, filepath.Dir(filepath.Dir(python)))
		if real, err := resolve(python); err == nil {
			prefixes = append(prefixes, filepath.Dir(filepath.Dir(real)))
		}
	}
	if env := os.Getenv("VIRTUAL_ENV"); filepath.IsAbs(env) {
		prefixes = append([]string{env}, prefixes...)
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		prefixes = append(prefixes, filepath.Join(home, ".local"))
	}
	prefixes = append(prefixes, "/usr/local", "/usr")
	var dirs []string
	for _, prefix := range prefixes {
		for _, dir := range matches(filepath.Join(prefix, "lib", "python3*", "*-packages")) {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// matches lists what fits a pattern, later versions first.
func matches(pattern string) []string {
	paths, _ := filepath.Glob(pattern)
	slices.Reverse(paths)
	return paths
}
