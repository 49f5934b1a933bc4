package encoder

import (
	"errors"
	"flag"
	"fmt"
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// RuntimeFlags are the flags of a command that runs models: which library of ONNX
// Runtime it opens, and what its sessions run on.
type RuntimeFlags struct {
	Library string // "" for the usual places
	Device  ort.Device
}

// Register adds the flags to a command's.
func (f *RuntimeFlags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.Library, "onnxruntime", "", "`FILE` of the ONNX Runtime library; by default VICREG_ONNXRUNTIME, then where scripts/get-onnxruntime.sh puts it")
	fs.Func("device", "`DEVICE` that models run on: cpu, cuda, or cuda:1 for the second CUDA device; by default cpu", func(text string) (err error) {
		f.Device, err = ort.ParseDevice(text)
		return err
	})
}

// OnHost says that models run on the host's processors.
func (f *RuntimeFlags) OnHost() bool { return f.Device.Kind == tensor.Host }

// Open finds the library and opens it. Any other device than the host's processors
// runs a graph of one operator first: what is missing for it shows here, before
// any other work, and not as an error of whichever model comes first.
func (f *RuntimeFlags) Open() (*ort.Runtime, error) {
	path, err := ort.FindFor(f.Library, f.Device)
	if err != nil {
		return nil, err
	}
	lib, err := ort.Open(path)
	if err != nil || f.OnHost() {
		return lib, err
	}
	if err := try(lib, f.Device); err != nil {
		return nil, fmt.Errorf("use device %v: %w (vicreg doctor --device %v tells what is missing)", f.Device, err, f.Device)
	}
	return lib, nil
}

// cudaProvider is what a library with CUDA in it lists.
const cudaProvider = "CUDAExecutionProvider"

// try doubles a number on a CUDA device.
func try(lib *ort.Runtime, d ort.Device) error {
	names, err := lib.Providers()
	if err != nil {
		return err
	}
	if !slices.Contains(names, cudaProvider) {
		return fmt.Errorf("the library %s was built without CUDA: run scripts/get-onnxruntime.sh --cuda", lib.Path())
	}
	model, err := onnx.Marshal(double)
	if err != nil {
		return err
	}
	session, err := lib.NewSession(model, ort.Options{Device: d})
	if err != nil {
		return err
	}
	_, err = session.Run(tensor.Batch{"x": tensor.Of([]float32{1}, 1)})
	return errors.Join(err, session.Close())
}

// double is the graph y = x + x of a number.
var double = &onnx.ModelProto{
	IrVersion:   8,
	OpsetImport: []*onnx.OperatorSetIdProto{{Version: 18}},
	Graph: &onnx.GraphProto{
		Name:   "double",
		Input:  []*onnx.ValueInfoProto{onnx.ValueInfo(tensor.Spec{Name: "x", Type: tensor.Float32, Shape: []int{1}})},
		Output: []*onnx.ValueInfoProto{onnx.ValueInfo(tensor.Spec{Name: "y", Type: tensor.Float32, Shape: []int{1}})},
		Node:   []*onnx.NodeProto{{OpType: "Add", Name: "double", Input: []string{"x", "x"}, Output: []string{"y"}}},
	},
}
