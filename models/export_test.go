package models

import (
	"fmt"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/tensor"
	"vicreg/scripts/golden"
)

// evalState has the twin's parameters, and running statistics that differ from channel to channel.
func evalState(a *Artifact) map[string]*tensor.Tensor {
	state := twinState(a)
	for _, p := range a.Params {
		switch {
		case strings.HasSuffix(p.Name, "running_mean"):
			state[p.Name] = golden.Fill(p.Name, 0.3, 0, p.Shape...)
		case strings.HasSuffix(p.Name, "running_var"):
			state[p.Name] = golden.Fill(p.Name, 0.6, 1, p.Shape...)
		}
	}
	return state
}

// The exported backbone, its normalisation folded into the weights, computes the representation of
// the evaluation graph, for any number of images.
func TestExportIsEvaluation(t *testing.T) {
	for _, net := range []struct {
		model, stem string
		size        int
	}{{"resnet18", "cifar", 16}, {"resnet18", "imagenet", 64}, {"resnet50", "imagenet", 64}} {
		c := netConfig(t, net.model, net.stem, 16, net.size, 4)
		eval, err := Eval(c)
		if err != nil {
			t.Fatal(err)
		}
		state := evalState(eval)
		want := wide(run(t, eval.Graph, state, views(c, ""))[Representation1])
		represent, err := Represent(c)
		if err != nil {
			t.Fatal(err)
		}
		backbone, err := Export(c, state)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*graph.Graph{represent.Graph, backbone} {
			for _, n := range []int{c.Batch, 1} {
				pixels := golden.Pixels(View1, n, c.Size, c.Size, 3)
				got := run(t, g, state, tensor.Batch{Pixels: pixels})[Embedding]
				e := farthest(got, want[:n*c.Backbone.Dim()], 0)
				t.Logf("%s %s, %s of %d: %.1e", net.model, net.stem, g.Name, n, e)
				atMost(t, fmt.Sprintf("%s of %d with %s", g.Name, n, net.model), e, 1e-5)
			}
		}
	}
}

// A parameter whose value is missing or has another shape is rejected by name.
func TestExportNeedsEveryValue(t *testing.T) {
	c := netConfig(t, "resnet18", "cifar", 8, 16, 2)
	eval, err := Eval(c)
	if err != nil {
		t.Fatal(err)
	}
	const name = "backbone.layer3.1.bn2.running_var"
	for want, value := range map[string]*tensor.Tensor{
		"no value for " + name:               nil,
		name + " has shape [31], want [32]":  tensor.New(tensor.Float32, 31),
		name + " has shape [4 8], want [32]": tensor.New(tensor.Float32, 4, 8),
	} {
		state := evalState(eval)
		state[name] = value
		if _, err := Export(c, state); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
