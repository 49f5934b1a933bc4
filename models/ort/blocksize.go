package ort

import (
	"fmt"
	"slices"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// NCHWcDomain is the domain of the runtime's operators on blocked channels.
const NCHWcDomain = "com.microsoft.nchwc"

// BlockSize finds how many channels the runtime's NCHWc operators block together on this machine:
// 16, 8, or 0 if it has none. The library does not report it, and weights blocked for another
// size give wrong numbers without an error, so a small convolution with a known answer is run for
// each candidate. It takes a few milliseconds.
func BlockSize(r *Runtime) (int, error) {
	for _, b := range []int{16, 8} {
		right, err := probe(r, b)
		if err != nil {
			return 0, fmt.Errorf("probe NCHWc block size %d: %w", b, err)
		}
		if right {
			return b, nil
		}
	}
	return 0, nil
}

// The probe is a 3x3 convolution of integers small enough to be summed without rounding. Its
// channels fill two blocks of the largest size.
const (
	probeC, probeM = 32, 32
	probeH, probeW = 3, 4
	probeK         = 3
)

// probe reports whether the runtime computes the right answer from weights in blocks of b.
func probe(r *Runtime, b int) (bool, error) {
	x := scatter(probeC * probeH * probeW)
	w := scatter(probeM * probeC * probeK * probeK)
	model, err := onnx.Marshal(probeModel(blocked(w, b)))
	if err != nil {
		return false, err
	}
	s, err := r.NewSession(model, Options{Threads: 1})
	if err != nil {
		// A build without these operators refuses to load them.
		return false, nil
	}
	defer s.Close()
	out, err := s.Run(tensor.Batch{"x": tensor.Of(x, 1, probeC, probeH, probeW)})
	if err != nil {
		return false, err
	}
	return slices.Equal(out["y"].Float32(), convolve(x, w)), nil
}

func probeModel(w []float32) *onnx.ModelProto {
	spec := func(name string, c int) *onnx.ValueInfoProto {
		return onnx.ValueInfo(tensor.Spec{Name: name, Type: tensor.Float32, Shape: []int{1, c, probeH, probeW}})
	}
	node := func(op, in, out string, attr ...*onnx.AttributeProto) *onnx.NodeProto {
		return &onnx.NodeProto{OpType: op, Name: op, Domain: NCHWcDomain, Input: []string{in}, Output: []string{out}, Attribute: attr}
	}
	conv := node("Conv", "xb", "yb", onnx.Ints("kernel_shape", probeK, probeK), onnx.Ints("pads", 1, 1, 1, 1))
	conv.Input = append(conv.Input, "w")
	return &onnx.ModelProto{
		IrVersion:   8,
		OpsetImport: []*onnx.OperatorSetIdProto{{Version: 18}, {Domain: NCHWcDomain, Version: 1}},
		Graph: &onnx.GraphProto{
			Name:        "probe",
			Input:       []*onnx.ValueInfoProto{spec("x", probeC)},
			Output:      []*onnx.ValueInfoProto{spec("y", probeM)},
			ValueInfo:   []*onnx.ValueInfoProto{spec("xb", probeC), spec("yb", probeM)},
			Initializer: []*onnx.TensorProto{onnx.TensorOf(tensor.Of(w, probeM, probeC, probeK, probeK), "w")},
			Node: []*onnx.NodeProto{
				node("ReorderInput", "x", "xb"),
				conv,
				node("ReorderOutput", "yb", "y", onnx.Int("channels", probeM)),
			},
		},
	}
}

// scatter returns n integers from -4 to 4, without a pattern that two orders of the same numbers
// could share.
func scatter(n int) []float32 {
	v := make([]float32, n)
	state := uint32(1)
	for i := range v {
		state = state*1664525 + 1013904223
		v[i] = float32(int((state>>16)%9) - 4)
	}
	return v
}

// blocked reorders weights [M, C, K, K] into [M/b, C/b, K, K, C in b, M in b].
func blocked(w []float32, b int) []float32 {
	const kk = probeK * probeK
	out := make([]float32, 0, len(w))
	for m := 0; m < probeM; m += b {
		for c := 0; c < probeC; c += b {
			for k := range kk {
				for i := range b {
					for o := range b {
						out = append(out, w[((m+o)*probeC+c+i)*kk+k])
					}
				}
			}
		}
	}
	return out
}

// convolve is the known answer: a plain convolution with padding 1.
func convolve(x, w []float32) []float32 {
	y := make([]float32, probeM*probeH*probeW)
	for at := range y {
		m, row, col := at/(probeH*probeW), at/probeW%probeH, at%probeW
		for tap := range probeC * probeK * probeK {
			c, i, j := tap/(probeK*probeK), row+tap/probeK%probeK-1, col+tap%probeK-1
			if i >= 0 && i < probeH && j >= 0 && j < probeW {
				y[at] += x[(c*probeH+i)*probeW+j] * w[m*probeC*probeK*probeK+tap]
			}
		}
	}
	return y
}
