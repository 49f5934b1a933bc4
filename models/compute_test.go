package models

import (
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/optim"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// With a reduced-precision compute type, a graph multiplies in it and keeps parameters, gradients,
// statistics and loss in float32. The reference checker infers the type of every tensor.
func TestComputeType(t *testing.T) {
	lars, err := optim.Default("lars")
	if err != nil {
		t.Fatal(err)
	}
	var models []*onnx.ModelProto
	for _, compute := range []tensor.DType{tensor.Float16, tensor.BFloat16} {
		c := Config{Backbone: ResNet{18, "imagenet", 8, "relu"}, Expander: Expander{[]int{16, 16}, "relu"}, Loss: Loss{25, 25, 1},
			Optimizer: lars, Batch: 4, Size: 32, Std: [3]float64{1, 1, 1}, Compute: compute, Standard: true}
		a, err := Step(c)
		if err != nil {
			t.Fatal(err)
		}
		products := 0
		for _, n := range inner(a.Graph.Nodes) {
			if n.Op == "Conv" || n.Op == "Gemm" && !strings.Contains(n.Name, "covariance") {
				products++
				if n.Inputs[0].Type != compute || n.Outputs[0].Type != compute {
					t.Errorf("%s computes in %v", n.Name, n.Inputs[0].Type)
				}
			}
		}
		if products < 60 {
			t.Errorf("only %d products", products)
		}
		for _, o := range a.Graph.Outputs {
			if o.Value.Type != tensor.Float32 {
				t.Errorf("output %s is %v", o.Name, o.Value.Type)
			}
		}
		m, err := a.Graph.Model()
		if err != nil {
			t.Fatal(err)
		}
		m.Graph.Name = compute.String()
		models = append(models, m)
	}
	orttest.Reference(t, models...)
	if _, err := Step(Config{Backbone: ResNet{18, "cifar", 16, "relu"}, Batch: 4, Size: 32, Compute: tensor.Float16, Block: 16}); err == nil {
		t.Error("blocks of float16 were accepted")
	}
}

// inner lists all nodes, including those inside composites.
func inner(nodes []*graph.Node) (all []*graph.Node) {
	for _, n := range nodes {
		all = append(append(all, n), inner(n.Body)...)
	}
	return all
}
