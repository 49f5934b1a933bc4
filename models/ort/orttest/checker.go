package orttest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
)

// EnvPython names the environment variable with a Python that has the package onnx.
const EnvPython = "VICREG_PYTHON"

// Reference runs scripts/golden/check_onnx.py, the reference implementation of the format, on
// models with distinct names. It returns a line for each and whether all are valid. Without such
// a Python the test is skipped: the check is not part of the product.
func Reference(tb testing.TB, models ...*onnx.ModelProto) (lines []string, ok bool) {
	tb.Helper()
	python := os.Getenv(EnvPython)
	if python == "" {
		tb.Skipf("%s is not set: it names a Python with the package onnx (scripts/test.sh sets it)", EnvPython)
	}
	dir := tb.TempDir()
	args := []string{filepath.Join(root(tb), "scripts", "golden", "check_onnx.py")}
	for i, m := range models {
		b, err := onnx.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, m.Graph.Name+".onnx")
		if slices.Contains(args, path) {
			tb.Fatalf("model %d: a model before it is named %s, too", i, m.Graph.Name)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			tb.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	lines = strings.Split(strings.TrimSpace(strings.ReplaceAll(string(out), dir+string(filepath.Separator), "")), "\n")
	if len(lines) != len(models) {
		tb.Fatalf("check_onnx.py: %v\n%s", err, out)
	}
	return lines, err == nil
}

// root returns the folder of the module.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir
		}
		if up := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && up != dir {
			dir = up
			continue
		}
		tb.Fatalf("find the module's folder: %v", err)
	}
}

// CheckShapes runs g with every tensor as an output, and fails if a type or a shape at run time
// differs from the one that the model declares; open is the size of the symbolic dimension.
func CheckShapes(tb testing.TB, g *graph.Graph, inputs map[string][]float64, open int) {
	tb.Helper()
	m, err := g.Model()
	if err != nil {
		tb.Fatal(err)
	}
	m.Graph.Output = append(m.Graph.Output, m.Graph.ValueInfo...)
	m.Graph.ValueInfo = nil
	got := RunModel(tb, m, inputs)
	for _, v := range m.Graph.Output {
		spec, err := onnx.SpecOf(v)
		if err != nil {
			tb.Fatal(err)
		}
		if i := slices.Index(spec.Shape, -1); i >= 0 {
			spec.Shape[i] = open
		}
		if run := got[spec.Name]; !slices.Equal(run.Shape, spec.Shape) || run.Type != spec.Type {
			tb.Errorf("%s is %v%v, declared %v%v", spec.Name, run.Type, run.Shape, spec.Type, spec.Shape)
		}
	}
}
