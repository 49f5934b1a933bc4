package ort

import (
	"fmt"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// Try runs a matrix product and a convolution with a known answer on a device, and returns an
// error if it cannot or the answer is wrong. It takes some milliseconds on the host and about a
// second on a CUDA device, which has to be started.
func Try(r *Runtime, d Device) error {
	err := try(r, d)
	if err != nil {
		return fmt.Errorf("try device %v: %w", d, err)
	}
	return nil
}

func try(r *Runtime, d Device) error {
	x := scatter(probeC * probeH * probeW)
	m := scatter(len(x) + probeW*probeW)[len(x):]
	w := scatter(probeM * probeC * probeK * probeK)
	model, err := onnx.Marshal(tryModel(m, w))
	if err != nil {
		return err
	}
	s, err := r.NewSession(model, Options{Device: d})
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := s.Run(tensor.Batch{"x": tensor.Of(x, 1, probeC, probeH, probeW)})
	if err != nil {
		return err
	}
	return near(out["y"].Float32(), convolve(product(x, m), w))
}

// tryModel is y = Conv(x m, w).
func tryModel(m, w []float32) *onnx.ModelProto {
	spec := func(name string, c int) *onnx.ValueInfoProto {
		return onnx.ValueInfo(tensor.Spec{Name: name, Type: tensor.Float32, Shape: []int{1, c, probeH, probeW}})
	}
	return &onnx.ModelProto{
		IrVersion:   8,
		OpsetImport: []*onnx.OperatorSetIdProto{{Version: 18}},
		Graph: &onnx.GraphProto{
			Name:   "try",
			Input:  []*onnx.ValueInfoProto{spec("x", probeC)},
			Output: []*onnx.ValueInfoProto{spec("y", probeM)},
			Initializer: []*onnx.TensorProto{
				onnx.TensorOf(tensor.Of(m, probeW, probeW), "m"),
				onnx.TensorOf(tensor.Of(w, probeM, probeC, probeK, probeK), "w"),
			},
			Node: []*onnx.NodeProto{
				{OpType: "MatMul", Name: "product", Input: []string{"x", "m"}, Output: []string{"xm"}},
				{OpType: "Conv", Name: "convolution", Input: []string{"xm", "w"}, Output: []string{"y"},
					Attribute: []*onnx.AttributeProto{onnx.Ints("pads", 1, 1, 1, 1)}},
			},
		},
	}
}

// product multiplies the rows of x by the square matrix m.
func product(x, m []float32) []float32 {
	y := make([]float32, len(x))
	for at := range y {
		row, col := at/probeW*probeW, at%probeW
		for i := range probeW {
			y[at] += x[row+i] * m[i*probeW+col]
		}
	}
	return y
}

// near compares with the known answer. A device may round, as Winograd convolutions do, by up to
// a thousandth of the largest number, well within the tolerance of a hundredth; a wrong answer is
// far outside.
func near(got, want []float32) error {
	var largest float32
	for _, v := range want {
		largest = max(largest, v, -v)
	}
	if len(got) != len(want) {
		return fmt.Errorf("the answer has %d numbers, want %d", len(got), len(want))
	}
	for i := range want {
		if off := got[i] - want[i]; !(max(off, -off) <= largest/100) {
			return fmt.Errorf("number %d of the answer is %g, want %g", i, got[i], want[i])
		}
	}
	return nil
}
