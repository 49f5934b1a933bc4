package encoder

import (
	"errors"
	"fmt"
	"math"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

var errOneByOne = errors.New("it takes one image at a time: export the model with a dynamic batch axis")

// measure runs the wrapped model on an image of S x S pixels, alone and together with a second one,
// and returns its foreign output for the single image. Batching relies on both vectors being the
// same, on the device that will run it.
func (w *wrapping) measure(rt *ort.Runtime, on ort.Device, model *onnx.ModelProto, s int) (*tensor.Tensor, error) {
	file, err := onnx.Marshal(model)
	if err != nil {
		return nil, err
	}
	session, err := rt.NewSession(file, suited(ort.Options{Device: on, Level: ort.None}, model))
	if err != nil {
		return nil, err
	}
	defer session.Close()
	pixels := twoPictures(3 * s * s)
	alone, err := session.Run(tensor.Batch{w.pixels: tensor.Of(pixels[:3*s*s], 1, s, s, 3)})
	if err != nil {
		return nil, fmt.Errorf("test it on one image: %w", err)
	}
	together, err := session.Run(tensor.Batch{w.pixels: tensor.Of(pixels, 2, s, s, 3)})
	if err != nil {
		return nil, fmt.Errorf("%w (with two images: %w)", errOneByOne, err)
	}
	one, two := alone[w.embedding], together[w.embedding]
	if two.Shape[0] != 2*one.Shape[0] || two.Shape[1] != one.Shape[1] {
		return nil, errOneByOne
	}
	return alone[w.out.Name], same(one.Float32(), two.Float32()[:one.Len()])
}

// twoPictures returns a noisy image and a darker one, of size bytes each.
func twoPictures(size int) []uint8 {
	pixels, x := make([]uint8, 2*size), uint32(1)
	for i := range pixels {
		x = x*1664525 + 1013904223
		pixels[i] = uint8(x>>24) >> (i / size)
	}
	return pixels
}

// loose is the tolerated distance, relative to its length, between an image's vectors from two
// batches: the effect of 8-bit arithmetic is within it, that of batch statistics is not.
const loose = 0.05

func same(alone, together []float32) error {
	var apart, length float64
	for i := range alone {
		apart += math.Pow(float64(alone[i])-float64(together[i]), 2)
		length += math.Pow(float64(alone[i]), 2)
	}
	if d := apart + length; d-d != 0 {
		return errors.New("its vector of a test image is not finite")
	}
	if apart > loose*loose*length {
		return errors.New("its vector of an image depends on the rest of the batch: export the model in evaluation mode")
	}
	return nil
}

// vectorLen returns D of a vector [1, D], possibly with further dimensions of 1.
func vectorLen(x *tensor.Tensor) (dim int, ok bool) {
	switch x.Type {
	case tensor.Float32, tensor.Float64, tensor.Float16, tensor.BFloat16:
	default:
		return 0, false
	}
	dim = x.Len()
	for i, d := range x.Shape {
		ok = ok || i > 0 && d == dim
	}
	return dim, ok && dim > 0
}
