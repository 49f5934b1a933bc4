package main

import (
	"strings"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/whole"
)

// drawModel writes a ResNet-18 with random weights for images of a size: its vectors have the right
// length, and it needs no training. An untrained network has a last gain of 0 in every block, which
// disables the branch, so it is set to 1.
func drawModel(path string, size int) error {
	backbone, err := models.NewResNet("resnet18", "imagenet", 64)
	if err != nil {
		return err
	}
	c := models.Config{Backbone: backbone, Size: size, Mean: [3]float64{.485, .456, .406}, Std: [3]float64{.229, .224, .225}}
	a, err := models.Represent(c)
	if err != nil {
		return err
	}
	values := a.InitialState(1)
	for name, x := range values {
		if strings.HasSuffix(name, ".bn2.weight") {
			for i := range x.Float32() {
				x.Float32()[i] = 1
			}
		}
	}
	g, err := models.Export(c, values)
	if err != nil {
		return err
	}
	model, err := g.Model()
	if err != nil {
		return err
	}
	meta := encoder.Metadata{
		Preprocess:    imaging.Preprocess{Resize: size * 8 / 7, Crop: size, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: backbone.Dim(), Center: make([]float32, backbone.Dim()),
		Training: encoder.Training{Model: "resnet18", Stem: "imagenet", Width: 64, ImageSize: size},
	}
	if err := meta.Attach(model); err != nil {
		return err
	}
	file, err := onnx.Marshal(model)
	if err != nil {
		return err
	}
	return whole.WriteFile(path, file)
}
