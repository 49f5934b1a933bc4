package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// CUDALibrary is one of NVIDIA's libraries that ONNX Runtime computes with on a CUDA
// device.
type CUDALibrary struct {
	Name string // what the loader knows it by, such as libcudart.so.13
	Path string // the file that was loaded
	Err  error  // why it cannot be used; errMissing when there is none
	// Package is the Python package that holds it, with its versions. It is empty
	// for the driver's, which comes with nothing but the driver.
	Package string
	// Optional is set when nothing that vicreg computes needs it.
	Optional bool
	// parts are the files beside it that it loads while it runs, a pattern.
	parts string
}

// cudaLibraries are those that the provider of ONNX Runtime 1.30 is linked with and
// those that it loads when it needs them. None is linked with one after it.
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

// CUDA is what a process has found of NVIDIA's libraries and devices.
type CUDA struct {
	Libraries []CUDALibrary
	// Driver is the version of CUDA that the driver is made for, 13010 for 13.1. It is
	// 0 when there is no driver, or no CUDA runtime to ask it.
	Driver int
	// Devices counts the devices; they are numbered from 0.
	Devices int
	// err is why they could not be counted.
	err error
}

var foundCUDA struct {
	sync.Once
	CUDA
}

// FindCUDA loads the libraries of CUDA and asks the driver for its devices. It does so
// once in a process, and what it has loaded stays until the process ends; dir is the
// folder of ONNX Runtime's library, and that of the first call counts; one that is not
// absolute is not looked into.
//
// A library is taken from the loader's own places, or else from the first of these
// that has it: dir, the folders of CUDA below /usr/local, and the packages of Python.
// When VICREG_CUDA_LIBRARIES lists folders, of libraries or of Python's packages, these
// come before the loader's places, and the others are not looked into. A library that
// cannot be loaded, and a cuDNN for another CUDA, is passed over.
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
		l.Err = fits(l.Name) // what the provider will find, should another have stayed
	}
}

// fitsCUDA reports that a cuDNN is made for another CUDA. The names of its files are the
// same for every one, and a machine may have several.
func fitsCUDA(path string) error {
	version, path, err := cudnnCUDA(path)
	if err == nil && version != 0 && version/1000 != minDriver/1000 {
		err = &otherCUDAError{path, version}
	}
	return err
}

// otherCUDAError is that of a library whose CUDA is not the provider's.
type otherCUDAError struct {
	path    string
	version int
}

func (e *otherCUDAError) Error() string {
	return fmt.Sprintf("%s is made for CUDA %s", e.path, cudaVersion(e.version))
}

// loadFrom loads a library from the first folders, the loader's places or the last
// folders, whichever has it first. One that cannot be loaded, or that fits reports an
// error of before, is passed over, and is the error when no other can; errMissing when
// there is none.
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

// loadAll loads the files of a pattern. CUDA's libraries load them while they run; so
// what is wrong with them comes to light before, and those are found that the loader
// would not find by their name.
func loadAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	for _, path := range paths {
		if _, wrong := load(path); err == nil {
			err = wrong
		}
	}
	return err
}
