package graph_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// envPython names the environment variable with a Python that has onnx.
const envPython = "VICREG_PYTHON"

// checker runs scripts/golden/check_onnx.py on model files and returns its
// lines and whether it was content.
func checker(t *testing.T, models ...*onnx.ModelProto) ([]string, bool) {
	t.Helper()
	python := os.Getenv(envPython)
	if python == "" {
		t.Skipf("%s is not set: it names a Python with the package onnx (scripts/test.sh sets it)", envPython)
	}
	args := []string{filepath.Join("..", "..", "scripts", "golden", "check_onnx.py")}
	for _, m := range models {
		b, err := onnx.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), m.Graph.Name+".onnx")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("%s", out)
	if len(lines) != len(models) {
		t.Fatalf("check_onnx.py: %v\n%s", err, out)
	}
	return lines, err == nil
}

// standardOps is a graph of every operator of the default domain.
func standardOps(g *graph.Graph) {
	for _, row := range opRows {
		if row.blocked || row.method == "FusedMatMul" {
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

// The reference implementation of ONNX accepts every operator and infers the
// shapes that the graph declares; of foreign operators it checks the form.
func TestReferenceCheckerAgrees(t *testing.T) {
	foreign, _ := everyOp(t, 16)
	m, err := foreign.Model()
	if err != nil {
		t.Fatal(err)
	}
	lines, ok := checker(t, model(t, "standard", standardOps), model(t, "open", openBatch), m)
	for i, want := range []string{"tensors as inferred", "tensors as inferred", "without shape inference: operators of com.microsoft, com.microsoft.nchwc"} {
		if !ok || !strings.Contains(lines[i], ": ok, ") || !strings.HasSuffix(lines[i], want) {
			t.Errorf("%s, want %s", lines[i], want)
		}
	}
}

// The checker can fail: a wrong shape, a tensor that is not declared, an
// attribute that the operator does not have.
func TestReferenceCheckerFindsFaults(t *testing.T) {
	shape, missing, attr := model(t, "shape", openBatch), model(t, "missing", openBatch), model(t, "attr", openBatch)
	shape.Graph.ValueInfo[1] = onnx.ValueInfo(tensor.Spec{Name: shape.Graph.ValueInfo[1].Name, Type: tensor.Float32, Shape: []int{-1, 3, 6, 4}})
	missing.Graph.ValueInfo = missing.Graph.ValueInfo[1:]
	attr.Graph.Node[0].Attribute = append(attr.Graph.Node[0].Attribute, onnx.Int("speed", 9))
	lines, ok := checker(t, shape, missing, attr)
	if ok {
		t.Error("the exit code is 0")
	}
	for i, want := range []string{"wrong:", "is not declared", "speed"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("%s, want %s", lines[i], want)
		}
	}
}
