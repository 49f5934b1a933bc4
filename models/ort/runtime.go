// Package ort runs ONNX models through the ONNX Runtime library: it finds the library, opens
// sessions and keeps the state of a training run in place between its steps. No other package of
// models uses cgo or unsafe; layers_test.go lists those of the whole program.
package ort

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	onnxruntime "github.com/yalue/onnxruntime_go"

	"vicreg/models/tensor"
)

// Runtime is the loaded library. Its methods may be called concurrently.
type Runtime struct {
	path    string
	version string
	cuda    func() error // makes CUDA devices usable, once
}

// loaded is the library of this process. There can be only one: the C side keeps global tables.
var loaded struct {
	sync.Mutex
	runtime *Runtime
}

// Open loads the library at path, as returned by Find, and starts the runtime. It does so once
// per process: a second call with the same path returns the same Runtime, one with another path
// fails. The library cannot be unloaded; it stays until the process ends.
func Open(path string) (*Runtime, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("open onnx runtime: %w", err)
	}
	loaded.Lock()
	defer loaded.Unlock()
	if r := loaded.runtime; r != nil {
		if r.path != path {
			return nil, fmt.Errorf("open onnx runtime %s: %s is already in use", path, r.path)
		}
		return r, nil
	}
	version, err := usable(path)
	if err != nil {
		return nil, fmt.Errorf("open onnx runtime: %w", err)
	}
	if err := stayQuiet(); err != nil {
		return nil, fmt.Errorf("open onnx runtime: %w", err)
	}
	onnxruntime.SetSharedLibraryPath(path)
	if err := onnxruntime.InitializeEnvironment(onnxruntime.WithLogLevelError()); err != nil {
		return nil, fmt.Errorf("open onnx runtime %s: %s", path, oneLine(err.Error()))
	}
	if err := attach(path); err != nil {
		return nil, fmt.Errorf("open onnx runtime %s: %w", path, err)
	}
	loaded.runtime = &Runtime{path: path, version: version, cuda: sync.OnceValue(func() error { return startCUDA(filepath.Dir(path)) })}
	return loaded.runtime, nil
}

// Prepare makes the library ready for sessions on a device; NewSession does so by itself. The
// error says in one line what is missing and what to do about it.
func (r *Runtime) Prepare(d Device) error {
	if d.Kind != tensor.CUDA {
		return nil
	}
	if err := FindCUDA(filepath.Dir(r.path)).Check(d.Index); err != nil {
		return err
	}
	return r.cuda()
}

// stayQuiet disables the library's telemetry, which is on by default from 1.30 on. Users who want
// it set the variable to 0. It must be set before the library is loaded; with cgo the C side sees
// it, too.
func stayQuiet() error {
	if _, decided := os.LookupEnv(envTelemetry); decided {
		return nil
	}
	return os.Setenv(envTelemetry, "1")
}

const envTelemetry = "ORT_DISABLE_TELEMETRY"

// Path returns the file the library was loaded from, with all links resolved.
func (r *Runtime) Path() string { return r.path }

// Version returns the library's version, such as "1.30.0".
func (r *Runtime) Version() string { return r.version }

// Providers lists the execution providers that the library was built with, in order of
// preference. The device or the libraries of a listed one may still be missing.
func (r *Runtime) Providers() ([]string, error) {
	names, err := providers()
	if err != nil {
		return nil, fmt.Errorf("list execution providers: %w", err)
	}
	return names, nil
}

// resolve returns the absolute path of a file with all links resolved, so that two spellings of
// one path compare equal.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
