package pipeline

import (
	"testing"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// On a CUDA device a step runs there from end to end, in each precision, and is
// captured: the runtime refuses that to a graph in which anything has to travel.
func TestAStepStaysOnTheDevice(t *testing.T) {
	if !orttest.StandIn(t) {
		return
	}
	lib := orttest.Open(t)
	for _, p := range []precision{fp32, tf32, fp16} {
		r := deviceRun(t, lib, p)
		if err := r.openStep(); err != nil || r.slow != "" {
			t.Errorf("%s: %v, %s", p, err, r.slow)
		}
		placed, err := r.session.Placement()
		if err != nil {
			t.Fatal(err)
		}
		nodes := 0
		for _, p := range placed {
			nodes += p.Nodes
		}
		if nodes < 1000 {
			t.Errorf("%s: %d nodes", p, nodes)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// deviceRun is a run on a CUDA device whose graphs are built.
func deviceRun(t *testing.T, lib *ort.Runtime, p precision) *run {
	t.Helper()
	r := &run{trainFlags: &trainFlags{machine: on(ort.Device{Kind: tensor.CUDA})}, lib: lib}
	r.machine.capture = true
	r.Model, r.Stem, r.Width, r.Size, r.Expander, r.Batch, r.Precision = "resnet18", "cifar", 16, 32, []int{32, 32, 32}, 8, p
	r.Optimizer.Name = "lars"
	graphs := r.graphs(0)
	graphs.Compute, graphs.Device = p.compute(), tensor.CUDA
	var err error
	if r.artifact, err = models.Step(graphs); err != nil {
		t.Fatal(err)
	}
	return r
}
