package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// CUDALibrary is one of NVIDIA's libraries that ONNX Runtime uses on a CUDA device.
type CUDALibrary struct {
	Name string // the name the loader finds it by, such as libcudart.so.13
	Path string // the file that was loaded
	Err  error  // why it cannot be used; errMissing if it was not found
	// Package is the Python package that contains it, with its versions. It is empty for the
	// driver's library, which comes with the driver only.
	Package string
	// Optional is set if nothing that vicreg computes needs it.
	Optional bool
	// parts is a pattern for the files beside it that it loads at run time.
	parts string
}

// cudaLibraries are those that the provider of ONNX Runtime 1.30 is linked against, and those it
// loads on demand. None is linked against a later one.
var cudaLibraries = []CUDALibrary{
	{Name: "libcuda.so.1"},
	{Name: "libcudart.so.13", Package: "nvidia-cuda-runtime~=13.0"},
	{Name: "libcublasLt.so.13", Package: "nvidia-cublas~=13.0"},
	{Name: "libcublas.so.13", Package: "nvidia-cublas~=13.0"},
	{Name: "libcurand.so.10", Package: "nvidia-curand~=10.4"},
	{Name: "libnvrtc.so.13", Package: "nvidia-cuda-nvrtc~=13.0", parts: "libnvrtc-builtins.so.13.*"},
	{Name: cudnn, Package: "nvidia-cudnn-cu13~=9.0", parts: "libcudnn_*.so.9"},
	{Name: "libcufft.so.12", Package: "nvidia-cufft~=12.0", Optional: true},
}

const cudnn = "libcudnn.so.9"

var errMissing = errors.New("not found")

// CUDA is what this process has found of NVIDIA's libraries and devices.
type CUDA struct {
	Libraries []CUDALibrary
	// Driver is the CUDA version that the driver supports, 13010 for 13.1. It is 0 if there is no
	// driver, or no CUDA runtime to query it with.
	Driver int
	// Devices is the number of devices, which are numbered from 0.
	Devices int
	// err is why they could not be counted.
	err error
}

var foundCUDA struct {
	sync.Once
	CUDA
}

// FindCUDA loads the CUDA libraries and queries the driver for its devices. It does so once per
// process, and the libraries stay loaded until the process ends. dir is the folder of ONNX
// Runtime's library; only that of the first call counts, and a relative one is not searched.
//
// A library is taken from the loader's search path, or else from the first of these that has it:
// dir, the CUDA folders under /usr/local, and the installed Python packages. Folders listed in
// VICREG_CUDA_LIBRARIES, of libraries or of Python packages, come before the loader's path and
// replace the others. A library that cannot be loaded, and a cuDNN for another CUDA, is skipped.
func FindCUDA(dir string) CUDA {
	foundCUDA.Do(func() {
		first, last := cudaDirs(dir)
		for _, l := range cudaLibraries {
			l.load(first, last)
			foundCUDA.Libraries = append(foundCUDA.Libraries, l)
		}
		foundCUDA.Driver, foundCUDA.Devices, foundCUDA.err = askCUDA()
	})
	return foundCUDA.CUDA
}

func (l *CUDALibrary) load(first, last []string) {
	fits := func(string) error { return nil }
	if l.Name == cudnn {
		fits = fitsCUDA
	}
	l.Path, l.Err = loadFrom(l.Name, first, last, fits)
	if l.Err == nil && l.parts != "" {
		l.Err = loadAll(filepath.Join(filepath.Dir(l.Path), l.parts))
	}
	if l.Err == nil {
		l.Err = fits(l.Name) // checks what the provider will find, in case another one is loaded already
	}
}

// fitsCUDA returns an error if a cuDNN is built for another CUDA. Its files have the same names
// for every CUDA, and a machine may have several.
func fitsCUDA(path string) error {
	version, path, err := cudnnCUDA(path)
	if err == nil && version != 0 && version/1000 != minDriver/1000 {
		err = &otherCUDAError{path, version}
	}
	return err
}

// otherCUDAError reports a library that is built for another CUDA than the provider's.
type otherCUDAError struct {
	path    string
	version int
}

func (e *otherCUDAError) Error() string {
	return fmt.Sprintf("%s is built for CUDA %s", e.path, cudaVersion(e.version))
}

// loadFrom loads a library from the first folders, the loader's search path or the last folders,
// in this order. One that cannot be loaded, or that fits rejects, is skipped; the first such
// error is returned if no other can be loaded, or errMissing if there is none.
func loadFrom(name string, first, last []string, fits func(path string) error) (string, error) {
	var paths []string
	for _, dir := range first {
		paths = append(paths, filepath.Join(dir, name))
	}
	paths = append(paths, name)
	for _, dir := range last {
		paths = append(paths, filepath.Join(dir, name))
	}
	why := errMissing
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil && path != name {
			continue
		}
		err := fits(path)
		if err == nil {
			var found string
			if found, err = load(path); err == nil {
				return found, nil
			}
		}
		absent := strings.HasPrefix(err.Error(), name+": cannot open shared object file: No such file")
		if why == errMissing && !absent {
			why = err
		}
	}
	return "", why
}

// loadAll loads the files that match a pattern. The CUDA libraries load them at run time; loading
// them now reveals what is wrong with them early, and covers those that the loader would not find
// by name.
func loadAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		if _, wrong := load(path); err == nil {
			err = wrong
		}
	}
	return err
}
