package graph_test

import (
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// standardOps is a graph of every unblocked operator, built from standard ones.
func standardOps(g *graph.Graph) {
	g.Standard = true
	for _, row := range opRows {
		if row.blocked {
			continue
		}
		g.Prefix(row.method, func() {
			for _, v := range row.build(g, inputs(g)) {
				g.Output(v.Name, v)
			}
		})
	}
}

func model(t *testing.T, name string, f func(*graph.Graph)) *onnx.ModelProto {
	t.Helper()
	m, err := build(t, name, f).Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ONNX's reference implementation accepts every operator and infers the shapes that the graph
// declares; of non-standard operators it checks the form only.
func TestReferenceCheckerAgrees(t *testing.T) {
	foreign, _ := everyOp(t, 16)
	m, err := foreign.Model()
	if err != nil {
		t.Fatal(err)
	}
	lines, ok := orttest.Reference(t, model(t, "standard", standardOps), model(t, "open", openBatch), m)
	for i, want := range []string{"tensors as inferred", "tensors as inferred", "without shape inference: operators of com.microsoft, com.microsoft.nchwc"} {
		if !ok || !strings.Contains(lines[i], ": ok, ") || !strings.HasSuffix(lines[i], want) {
			t.Errorf("%s, want %s", lines[i], want)
		}
	}
}

// The checker detects a wrong shape, an undeclared tensor, and an attribute that the operator does
// not have.
func TestReferenceCheckerFindsFaults(t *testing.T) {
	shape, missing, attr := model(t, "shape", openBatch), model(t, "missing", openBatch), model(t, "attr", openBatch)
	shape.Graph.ValueInfo[1] = onnx.ValueInfo(tensor.Spec{Name: shape.Graph.ValueInfo[1].Name, Type: tensor.Float32, Shape: []int{-1, 3, 6, 4}})
	missing.Graph.ValueInfo = missing.Graph.ValueInfo[1:]
	attr.Graph.Node[0].Attribute = append(attr.Graph.Node[0].Attribute, onnx.Int("speed", 9))
	lines, ok := orttest.Reference(t, shape, missing, attr)
	if ok {
		t.Error("the exit code is 0")
	}
	for i, want := range []string{"wrong:", "is not declared", "speed"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%s, want %s", lines[i], want)
		}
	}
}
