package encoder

import (
	"flag"
	"fmt"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// RuntimeFlags are the flags of a command that runs models: which ONNX Runtime library it opens,
// and which device its sessions run on.
type RuntimeFlags struct {
	Library string // "" for the default locations
	Device  ort.Device
}

// Register adds the flags to a command's.
func (f *RuntimeFlags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.Library, "onnxruntime", "", "ONNX Runtime library `FILE`; by default VICREG_ONNXRUNTIME, then where scripts/get-onnxruntime.sh installs it")
	fs.Func("device", "`DEVICE` to run models on: cpu, cuda, or cuda:1 for the second CUDA device; by default cpu", func(text string) (err error) {
		f.Device, err = ort.ParseDevice(text)
		return err
	})
}

// OnHost reports whether models run on the CPU.
func (f *RuntimeFlags) OnHost() bool { return f.Device.Kind == tensor.Host }

// Open finds the library and opens it, ready for the device: missing dependencies surface here,
// before any other work.
func (f *RuntimeFlags) Open() (*ort.Runtime, error) {
	path, err := ort.FindFor(f.Library, f.Device)
	if err != nil {
		return nil, err
	}
	lib, err := ort.Open(path)
	if err != nil {
		return nil, err
	}
	if err := lib.Prepare(f.Device); err != nil {
		return nil, fmt.Errorf("%w (see vicreg doctor --device %v)", err, f.Device)
	}
	return lib, nil
}
