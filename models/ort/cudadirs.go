package ort

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// EnvCUDA names the environment variable with a list of folders that hold the CUDA and cuDNN
// libraries, or the Python packages of them.
const EnvCUDA = "VICREG_CUDA_LIBRARIES"

// cudaDirs lists the folders in which to look for CUDA's libraries before and after the loader's
// search path. Unless the variable is set, none is relative, so that nothing is loaded from the
// working directory.
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
	// Where a container or WSL has the driver, in case the loader is not configured for it.
	return nil, append(last, "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib")
}

// pipDirs lists the library folders of the NVIDIA packages in a folder of Python packages.
func pipDirs(site string) []string { return matches(filepath.Join(site, "nvidia", "*", "lib")) }

// sitePackages lists the folders that may hold Python packages: those of the virtual environment,
// of the python3 on PATH, the user's and the system's. No Python is run.
func sitePackages() []string {
	var prefixes []string
	if python, err := exec.LookPath("python3"); err == nil && filepath.IsAbs(python) {
		// In a virtual environment it is a link to the system's.
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

// matches lists the paths that match a pattern, later versions first.
func matches(pattern string) []string {
	paths, _ := filepath.Glob(pattern)
	slices.Reverse(paths)
	return paths
}
