package models

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/optim"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// formatConfig is a network as small as its shapes allow.
func formatConfig(t *testing.T, model, stem, optimizer string) Config {
	t.Helper()
	r, err := NewResNet(model, stem, 8)
	if err != nil {
		t.Fatal(err)
	}
	o, err := optim.Default(optimizer)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Backbone: r, Expander: Expander{Widths: []int{24, 16}, Activation: r.Activation}, Loss: Loss{25, 25, 1},
		Optimizer: o, Batch: 3, Size: 32, Mean: [3]float64{0.5, 0.4, 0.3}, Std: [3]float64{0.2, 0.3, 0.25}}
}

// artifacts are all the graphs of a run.
func artifacts(t *testing.T, c Config) []*graph.Graph {
	t.Helper()
	var graphs []*graph.Graph
	var step *Artifact
	for _, make := range []func(Config) (*Artifact, error){Training, Optimizer, Eval, Step} {
		a, err := make(c)
		if err != nil {
			t.Fatal(err)
		}
		graphs, step = append(graphs, a.Graph), a
	}
	backbone, err := Export(c, step.InitialState(1))
	if err != nil {
		t.Fatal(err)
	}
	return append(graphs, backbone)
}

// ONNX's reference implementation accepts the files of a run, built from standard operators, and
// infers the shapes they declare.
func TestReferenceAcceptsTheArtifacts(t *testing.T) {
	var files []*onnx.ModelProto
	for _, net := range [][3]string{
		{"resnet18", "cifar", "sgd"}, {"resnet18", "imagenet", "lars"}, {"resnet50", "imagenet", "adamw"},
	} {
		c := formatConfig(t, net[0], net[1], net[2])
		c.Standard = true
		for _, g := range artifacts(t, c) {
			m, err := g.Model()
			if err != nil {
				t.Fatal(err)
			}
			m.Graph.Name = net[0] + "-" + net[1] + "-" + m.Graph.Name
			files = append(files, m)
		}
	}
	lines, _ := orttest.Reference(t, files...)
	for _, line := range lines {
		t.Log(line)
		if !strings.Contains(line, ": ok, ") || !strings.HasSuffix(line, "as inferred") {
			t.Error(line)
		}
	}
}

// At run time every tensor has the shape that the file declares. The step is left out: it is the
// first two graphs merged.
func TestRuntimeShapesOfTheArtifacts(t *testing.T) {
	for _, block := range layouts(t) {
		c := formatConfig(t, "resnet18", "imagenet", "lars")
		c.Block = block
		for _, g := range artifacts(t, c) {
			if g.Name == "step" {
				continue
			}
			t.Run(fmt.Sprintf("%s/block%d", g.Name, block), func(t *testing.T) {
				orttest.CheckShapes(t, g, anyInputs(g, c.Batch), c.Batch)
			})
		}
	}
}

// anyInputs feeds a graph whose values do not matter.
func anyInputs(g *graph.Graph, batch int) map[string][]float64 {
	rng, in := rand.New(rand.NewPCG(5, 6)), map[string][]float64{}
	for _, v := range g.Inputs {
		n := v.Elements()
		if n < 0 { // symbolic batch
			n *= -batch
		}
		data := make([]float64, n)
		for i := range data {
			data[i] = rng.Float64() + 0.5
			if v.Type == tensor.Uint8 {
				data[i] = float64(rng.IntN(256))
			}
		}
		in[v.Name] = data
	}
	return in
}
