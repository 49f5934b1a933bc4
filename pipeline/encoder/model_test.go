package encoder_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

var plain = encoder.Normalization{Std: [3]float64{1. / 255, 1. / 255, 1. / 255}}

// averager is a model whose vector is the mean red, green and blue of the image in 0..255, so it
// can be checked without a reference.
func averager(t *testing.T, size int) *onnx.ModelProto {
	t.Helper()
	g, err := graph.Build("averager", func(g *graph.Graph) {
		pixels := g.Input("pixels", tensor.Uint8, graph.Batch, size, size, 3)
		x := nn.Normalize(g, pixels, plain.Mean, plain.Std, tensor.Float32)
		g.Output("embedding", g.ReduceMean(x, false, 2, 3))
	})
	if err != nil {
		t.Fatal(err)
	}
	return attach(t, g, encoder.Metadata{
		Preprocess:    imaging.Preprocess{Crop: size, Interpolation: "bilinear"},
		Normalization: plain, Dim: 3, Center: []float32{1, 2, 3},
		Training: encoder.Training{Model: "averager", Steps: 7},
	})
}

// resnet is a small network with statistics, gains and biases as after training.
func resnet(t *testing.T, seed uint64) *onnx.ModelProto {
	t.Helper()
	backbone, err := models.NewResNet("resnet18", "cifar", 4)
	if err != nil {
		t.Fatal(err)
	}
	c := models.Config{Backbone: backbone, Size: 16, Mean: [3]float64{.5, .4, .3}, Std: [3]float64{.2, .25, .3}}
	a, err := models.Represent(c)
	if err != nil {
		t.Fatal(err)
	}
	g, err := models.Export(c, lived(a.InitialState(seed), seed))
	if err != nil {
		t.Fatal(err)
	}
	return attach(t, g, encoder.Metadata{
		Preprocess:    imaging.Preprocess{Resize: 18, Crop: 16, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std},
		Dim:           backbone.Dim(), Center: make([]float32, backbone.Dim()),
	})
}

// lived sets the parameters of normalisation layers to plausible trained values.
func lived(state map[string]*tensor.Tensor, seed uint64) map[string]*tensor.Tensor {
	for name, x := range state {
		r := rand.New(rand.NewPCG(seed, uint64(len(name))))
		lo, hi := float32(0), float32(0)
		switch {
		case strings.HasSuffix(name, ".running_var"), strings.Contains(name, "bn") && strings.HasSuffix(name, ".weight"):
			lo, hi = 0.5, 1.5
		case strings.HasSuffix(name, ".running_mean"), strings.HasSuffix(name, ".bias"):
			lo, hi = -0.3, 0.3
		default:
			continue
		}
		for i := range x.Float32() {
			x.Float32()[i] = lo + (hi-lo)*r.Float32()
		}
	}
	return state
}

func attach(t *testing.T, g *graph.Graph, m encoder.Metadata) *onnx.ModelProto {
	t.Helper()
	model, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(model); err != nil {
		t.Fatal(err)
	}
	return model
}

func marshal(t *testing.T, m *onnx.ModelProto) []byte {
	t.Helper()
	b, err := onnx.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, m *onnx.ModelProto) *encoder.Encoder {
	t.Helper()
	e, err := encoder.New(orttest.Open(t), marshal(t, m), ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
