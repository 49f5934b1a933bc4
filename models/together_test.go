package models

import (
	"testing"

	"vicreg/models/tensor"
)

// With operators that take many tensors at once, one node rounds all parameters of a step, and one
// node per type adds up their gradients. Without half precision there is nothing to round.
func TestParametersTogether(t *testing.T) {
	one, two := netConfig(t, "resnet18", "cifar", 8, 16, 8), netConfig(t, "resnet50", "imagenet", 4, 48, 8)
	large := two // too large for its views to share a batch
	large.Batch = 1 << 20
	for _, c := range []Config{one, two, large} {
		for compute, want := range map[tensor.DType][2]int{tensor.Float16: {1, 2}, tensor.BFloat16: {1, 2}, tensor.Float32: {0, 1}} {
			if c.Batch != large.Batch { // each gradient already covers both views
				want[1] = 0
			}
			c.Device, c.Compute, c.CustomOps = tensor.CUDA, compute, true
			a, err := Step(c)
			if err != nil {
				t.Fatal(err)
			}
			m, err := a.Graph.Model()
			if err != nil {
				t.Fatal(err)
			}
			halves, sums := 0, 0
			for _, n := range m.Graph.Node {
				switch n.OpType {
				case "Halves":
					halves++
				case "Sums":
					sums++
				case "Cast":
					if v := a.Graph.Lookup(n.Input[0]); v != nil && v.Data == nil {
						t.Errorf("%s casts %s", n.Name, v.Name)
					}
				}
			}
			if halves != want[0] || sums != want[1] {
				t.Errorf("resnet%d, %v: %d nodes Halves and %d Sums, want %d and %d", c.Backbone.Depth, compute, halves, sums, want[0], want[1])
			}
		}
	}
}
