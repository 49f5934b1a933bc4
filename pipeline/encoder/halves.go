package encoder

import (
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// suited returns the options of a session for a model.
//
// Without TF32 the runtime's CUDA provider (1.30) runs no convolution on the tensor cores, not even
// those in float16, which are then several times slower and no more exact. The switch applies to
// the whole session: float32 parts of a graph with float16 weights are also rounded to 10 bits of
// mantissa, as the weights already are.
func suited(opt ort.Options, model *onnx.ModelProto) ort.Options {
	if opt.Device.Kind != tensor.Host && halved(model) {
		opt.TF32 = true
	}
	return opt
}

// halved reports whether a model has float16 weights.
func halved(model *onnx.ModelProto) bool {
	return slices.ContainsFunc(constants(model.Graph), func(t *onnx.TensorProto) bool { return tensor.DType(t.DataType) == tensor.Float16 })
}
