// Package networks makes untrained models of realistic size for benchmarks.
package networks

import (
	"strings"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// ResNet returns a network with random weights for images of a size, with its metadata. An
// untrained network has a last gain of 0 in every block, which disables the branch, so it is set to
// 1.
func ResNet(name string, width, resize, size int, seed uint64) (*onnx.ModelProto, error) {
	backbone, err := models.NewResNet(name, "imagenet", width)
	if err != nil {
		return nil, err
	}
	c := models.Config{Backbone: backbone, Size: size, Mean: [3]float64{.485, .456, .406}, Std: [3]float64{.229, .224, .225}}
	a, err := models.Represent(c)
	if err != nil {
		return nil, err
	}
	last := ".bn2.weight"
	if backbone.Depth >= 50 {
		last = ".bn3.weight"
	}
	values := a.InitialState(seed)
	for name, x := range values {
		if strings.HasSuffix(name, last) {
			for i := range x.Float32() {
				x.Float32()[i] = 1
			}
		}
	}
	g, err := models.Export(c, values)
	if err != nil {
		return nil, err
	}
	m, err := g.Model()
	if err != nil {
		return nil, err
	}
	return m, (&encoder.Metadata{
		Preprocess:    imaging.Preprocess{Resize: resize, Crop: size, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: backbone.Dim(), Center: make([]float32, backbone.Dim()),
		Training: encoder.Training{Model: name, Stem: "imagenet", Width: width, ImageSize: size},
	}).Attach(m)
}
