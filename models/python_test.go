package models

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// Python's onnxruntime runs step 5 of a run, at a learning rate of 0.1, with the same files: it
// gets the same loss and the same new weights, which differ from the old ones.
func TestStepInPython(t *testing.T) {
	if os.Getenv(orttest.EnvPython) == "" {
		t.Skipf("%s is not set: it names a Python with the package onnxruntime (scripts/test.sh sets it)", orttest.EnvPython)
	}
	c := stepConfig("lars", 1e-6, 0)
	st := newStepper(t, c, twinState)
	for i := range 5 {
		step(t, st, c, i, 1e-4)
		st.Accept()
	}
	state, batch := snapshot(t, st), views(c, "step5/")
	batch[Rate] = tensor.Of([]float32{0.1})
	scalars, after := next(t, st, state, batch)
	expected := map[string]*tensor.Tensor{"loss": tensor.Of([]float32{float32(scalars["loss"])})}
	for name, x := range after {
		expected[name+nextSuffix] = x
	}
	dir := t.TempDir()
	optimizer, err := Optimizer(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []*graph.Graph{trainingOf(t, c).Graph, optimizer.Graph} {
		write(t, filepath.Join(dir, g.Name+".onnx"), marshal(t, g))
	}
	save(t, dir, "state", state)
	save(t, dir, "batch", batch)
	save(t, dir, "expected", expected)
	if out, err := ortStep(t, dir); err != nil || !strings.Contains(out, "182 new tensors") {
		t.Errorf("%v: %s", err, out)
	}

	// The script detects a wrong expectation and a step that changes nothing.
	worse := maps.Clone(expected)
	worse["backbone.conv1.weight.next"] = state["backbone.conv1.weight"]
	save(t, dir, "expected", worse)
	if out, err := ortStep(t, dir); err == nil || !strings.HasPrefix(out, "backbone.conv1.weight.next is off by") {
		t.Errorf("%v: %s", err, out)
	}
	batch[Rate] = tensor.Of([]float32{0})
	save(t, dir, "batch", batch)
	if out, err := ortStep(t, dir); err == nil || !strings.Contains(out, "backbone.conv1.weight does not change") {
		t.Errorf("%v: %s", err, out)
	}
}

// ortStep runs scripts/golden/ort_step.py on a folder.
func ortStep(t *testing.T, dir string) (string, error) {
	t.Helper()
	out, err := exec.Command(os.Getenv(orttest.EnvPython), "../scripts/golden/ort_step.py", dir).CombinedOutput()
	t.Logf("%.200s", out)
	return string(out), err
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func save(t *testing.T, dir, name string, tensors map[string]*tensor.Tensor) {
	t.Helper()
	var b strings.Builder
	if err := tensor.WriteSafetensors(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".safetensors"), []byte(b.String()))
}
