package orttest

import (
	"fmt"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// BlockSize returns the NCHWc block size of this machine, 0 for none.
func BlockSize(tb testing.TB) int {
	tb.Helper()
	b, err := ort.BlockSize(Open(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Run evaluates a graph once with the runtime, in the types of the graph, and returns every
// output as float64. The inputs are keyed by name, as in package reference; a symbolic dimension
// is derived from the number of elements.
func Run(tb testing.TB, g *graph.Graph, inputs map[string][]float64) map[string][]float64 {
	tb.Helper()
	m, err := g.Model()
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string][]float64{}
	for name, t := range RunModel(tb, m, inputs) {
		if out[name], err = numbers(t); err != nil {
			tb.Fatalf("output %s: %v", name, err)
		}
	}
	return out
}

// RunModel is Run for a model, and returns the outputs in their own types.
func RunModel(tb testing.TB, m *onnx.ModelProto, inputs map[string][]float64) tensor.Batch {
	tb.Helper()
	s := Session(tb, m, ort.Options{})
	batch := tensor.Batch{}
	for _, spec := range s.Inputs() {
		t, err := hostTensor(spec, inputs[spec.Name])
		if err != nil {
			tb.Fatalf("input %s%v: %v", spec.Name, spec.Shape, err)
		}
		batch[spec.Name] = t
	}
	out, err := s.Run(batch)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func hostTensor(spec tensor.Spec, data []float64) (*tensor.Tensor, error) {
	shape := slices.Clone(spec.Shape)
	if open := slices.Index(shape, graph.Batch); open >= 0 {
		shape[open] = 1
		shape[open] = len(data) / max(1, tensor.Elements(shape))
	}
	if tensor.Elements(shape) != len(data) {
		return nil, fmt.Errorf("given %d elements", len(data))
	}
	t := tensor.New(spec.Type, shape...)
	switch d := t.Data.(type) {
	case []float32:
		narrow(d, data)
	case []int64:
		narrow(d, data)
	case []uint8:
		narrow(d, data)
	case []bool:
		for i, x := range data {
			d[i] = x != 0
		}
	default:
		return nil, fmt.Errorf("no way to make %v", spec.Type)
	}
	return t, nil
}

func numbers(t *tensor.Tensor) ([]float64, error) {
	switch d := t.Data.(type) {
	case []float32:
		return widen(d), nil
	case []int64:
		return widen(d), nil
	case []uint8:
		return widen(d), nil
	case []bool:
		out := make([]float64, len(d))
		for i, b := range d {
			if b {
				out[i] = 1
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("no way to read %v", t.Type)
}

func narrow[T float32 | int64 | uint8](dst []T, src []float64) {
	for i, x := range src {
		dst[i] = T(x)
	}
}

func widen[T float32 | int64 | uint8](src []T) []float64 {
	out := make([]float64, len(src))
	for i, x := range src {
		out[i] = float64(x)
	}
	return out
}
