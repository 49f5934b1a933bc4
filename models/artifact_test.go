package models

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
)

var update = flag.Bool("update", false, "write the texts in testdata anew")

// Building a graph twice gives the same bytes; the runtime loads them and reports the inputs and
// outputs that the builder declared.
func TestArtifactsAreStableAndLoad(t *testing.T) {
	for _, net := range [][3]string{{"resnet18", "cifar", "lars"}, {"resnet50", "imagenet", "adamw"}} {
		for _, block := range layouts(t) {
			c := formatConfig(t, net[0], net[1], net[2])
			c.Block = block
			first, second := artifacts(t, c), artifacts(t, c)
			for i, g := range first {
				a, b := marshal(t, g), marshal(t, second[i])
				if !bytes.Equal(a, b) {
					t.Errorf("%s, block %d: %s differs when built again", net[0], block, g.Name)
				}
				checkEnds(t, fmt.Sprintf("%s, block %d: %s", net[0], block, g.Name), g, a)
			}
		}
	}
}

func marshal(t *testing.T, g *graph.Graph) []byte {
	t.Helper()
	b, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkEnds(t *testing.T, what string, g *graph.Graph, model []byte) {
	t.Helper()
	s, err := orttest.Open(t).NewSession(model, ort.Options{Level: ort.None, Threads: 1})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer s.Close()
	in, out := s.Inputs(), s.Outputs()
	if len(in) != len(g.Inputs) || len(out) != len(g.Outputs) {
		t.Fatalf("%s: %d inputs and %d outputs, built with %d and %d", what, len(in), len(out), len(g.Inputs), len(g.Outputs))
	}
	for i, v := range g.Inputs {
		if in[i].Name != v.Name || in[i].Type != v.Type || !slices.Equal(in[i].Shape, v.Shape) {
			t.Errorf("%s: input %v, built as %s %v%v", what, in[i], v.Name, v.Type, v.Shape)
		}
	}
	for i, o := range g.Outputs {
		if out[i].Name != o.Name || out[i].Type != o.Value.Type || !slices.Equal(out[i].Shape, o.Value.Shape) {
			t.Errorf("%s: output %v, built as %s %v%v", what, out[i], o.Name, o.Value.Type, o.Value.Shape)
		}
	}
}

// The printed graph of the loss and its backward pass is unchanged, for both forms of the
// covariance. After an intended change: go test ./models -run Print -update.
func TestPrintOfTheLoss(t *testing.T) {
	for name, shape := range map[string][2]int{"loss_gram": {4, 8}, "loss_square": {8, 4}} {
		got := build(t, func(g *graph.Graph) { lossHead(g, shape[0], shape[1]) }).String()
		path := "testdata/" + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s prints\n%s\nwant\n%s", name, got, want)
		}
	}
}
