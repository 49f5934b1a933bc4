// Package servertest has what the tests of the server and its packages share: a small model,
// pictures, and a measure of allocations.
package servertest

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"runtime"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// Model returns the file of a small backbone with random weights.
func Model(t testing.TB, seed uint64) []byte {
	t.Helper()
	backbone, err := models.NewResNet("resnet18", "cifar", 4)
	if err != nil {
		t.Fatal(err)
	}
	c := models.Config{Backbone: backbone, Size: 16, Batch: 2, Mean: [3]float64{0.5, 0.5, 0.5}, Std: [3]float64{0.25, 0.25, 0.25},
		Expander: models.Expander{Widths: []int{8, 8}, Activation: "relu"}, Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1}}
	eval, err := models.Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]*tensor.Tensor{}
	for _, p := range eval.Params {
		values[p.Name] = p.InitialValue(seed)
		if strings.HasSuffix(p.Name, "bn2.weight") { // otherwise every block is the identity
			for i := range values[p.Name].Float32() {
				values[p.Name].Float32()[i] = 1
			}
		}
	}
	g, err := models.Export(c, values)
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	metadata := &encoder.Metadata{Preprocess: imaging.Preprocess{Crop: 16, Interpolation: "bicubic"},
		Normalization: encoder.Normalization{Mean: c.Mean, Std: c.Std}, Dim: backbone.Dim(), Center: make([]float32, backbone.Dim())}
	if err := metadata.Attach(m); err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Photo is a PNG file that is different for each n.
func Photo(t testing.TB, n int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 20+n, 24))
	for y := range 24 {
		for x := range 20 + n {
			m.Set(x, y, color.RGBA{uint8(x*y + 31*n), uint8(9*x + n), uint8(7 * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Allocated is the total number of bytes that f allocates, including those freed again.
func Allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}
