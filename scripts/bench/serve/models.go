package main

import (
	"fmt"
	"path/filepath"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/whole"
	"vicreg/scripts/bench/networks"
)

// averager returns a model that costs nothing to run: its vector is the mean colour, in 0..255, of
// the last row of an image of the given size. It measures only the overhead around a model, and
// shows that a whole request arrived.
func averager(size int) (*onnx.ModelProto, error) {
	g, err := graph.Build("averager", func(g *graph.Graph) {
		pixels := g.Input(models.Pixels, tensor.Uint8, graph.Batch, size, size, 3)
		row := g.Slice(pixels, 1, size-1, size)                                            // [N, 1, S, 3]
		g.Output(models.Embedding, g.ReduceMean(g.Cast(row, tensor.Float32), false, 1, 2)) // [N, 3]
	})
	if err != nil {
		return nil, err
	}
	return attach(g, encoder.Metadata{
		Preprocess:    imaging.Preprocess{Crop: size, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1. / 255, 1. / 255, 1. / 255}}, Dim: 3, Center: make([]float32, 3),
	})
}

func attach(g *graph.Graph, m encoder.Metadata) (*onnx.ModelProto, error) {
	model, err := g.Model()
	if err != nil {
		return nil, err
	}
	return model, m.Attach(model)
}

// model writes a model's file and returns its path. It is rebuilt in each run to reflect the
// current code.
func (b *bench) model(name string) (string, error) {
	if path, ok := b.made[name]; ok {
		return path, nil
	}
	m, err := build(name)
	if err != nil {
		return "", fmt.Errorf("make model %s: %w", name, err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("make model %s: %w", name, err)
	}
	path := filepath.Join(b.work, name+".onnx")
	if err := whole.WriteFile(path, file); err != nil {
		return "", err
	}
	b.made[name] = path
	return path, nil
}

// Image sides of the models without cost: 972 bytes and 99,372.
const (
	smallSide = 18
	largeSide = 182
)

// networkSide is the image side of the networks.
const networkSide = 224

func build(name string) (*onnx.ModelProto, error) {
	switch name {
	case "nocost":
		return averager(smallSide)
	case "nocost-large":
		return averager(largeSide)
	case "resnet18", "resnet50":
		return networks.ResNet(name, 64, 256, networkSide, 1)
	case "small-a": // one of two fast models that replace each other
		return networks.ResNet("resnet18", 8, 72, 64, 1)
	case "small-b":
		return networks.ResNet("resnet18", 8, 72, 64, 2)
	}
	return nil, fmt.Errorf("no model %s", name)
}
