package encoder

import (
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// suited are the options of a session for a model.
//
// Source: without TF32 the runtime's CUDA provider (1.30) keeps all convolutions from the
// tensor cores, those of float16 as well, which are several times slower then and no more
// exact. The switch is the session's: what a graph with weights of float16 has of float32
// is rounded to 10 bits, too, as its weights are.
func suited(opt ort.Options, model *onnx.ModelProto) ort.Options {
	if opt.Device.Kind != tensor.Host && halved(model) {
		opt.TF32 = true
	}
	return opt
}

// halved tells whether a model has weights of float16.
func halved(model *onnx.ModelProto) bool {
	return slices.ContainsFunc(constants(model.Graph), func(t *onnx.TensorProto) bool { return tensor.DType(t.DataType) == tensor.Float16 })
}
