package servertest

import (
	"fmt"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
)

// Copied opens a model whose output vector is the picture's pixel values, on a CUDA device, with
// the given number of sessions. Session k writes a profile whose name begins with profiles and k.
func Copied(t *testing.T, sessions int, profiles string) (*encoder.Encoder, error) {
	const size = 4
	m := orttest.Copied(size)
	about := encoder.Metadata{Preprocess: imaging.Preprocess{Crop: size, Interpolation: "bilinear"},
		Normalization: encoder.Normalization{Std: [3]float64{1, 1, 1}}, Dim: 3 * size * size, Center: make([]float32, 3*size*size)}
	if err := about.Attach(m); err != nil {
		return nil, err
	}
	file, err := onnx.Marshal(m)
	if err != nil {
		return nil, err
	}
	var on []ort.Options
	for k := range sessions {
		on = append(on, ort.Options{Device: ort.Device{Kind: tensor.CUDA}, Level: ort.None, ProfilePrefix: fmt.Sprintf("%s%d-", profiles, k)})
	}
	return encoder.New(orttest.Open(t), file, on[0], on[1:]...)
}

// RanSizes counts the runs of a session by batch size, from its profile.
func RanSizes(t *testing.T, prefix string) map[int]int {
	t.Helper()
	sizes := map[int]int{}
	for _, e := range orttest.Profile(t, prefix) {
		if e.Name == "there_kernel_time" {
			sizes[e.Args.Inputs[0]["uint8"][0]]++
		}
	}
	return sizes
}
