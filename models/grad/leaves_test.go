package grad

import (
	"fmt"
	"math"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// On CUDA the gradients of rank-1 parameters are added up together, with the same results as
// elsewhere, even if there are more of one length than the runtime concatenates at once, or some
// are used more often than others or not at all.
func TestLeavesTogetherAreOneByOne(t *testing.T) {
	const many = joined + 7
	lengths, used := map[int]int{3: 3, 7: 5}, map[int]int{5: 3, 9: 1, many - 1: 0}
	uses := func(i int) int {
		if n, ok := used[i]; ok {
			return n
		}
		return 2
	}
	run := func(device tensor.Device) map[string][]float64 {
		in := map[string][]float64{}
		g, err := graph.Build("leaves", func(g *graph.Graph) {
			g.Device = device
			var all []value
			y := g.Float(0)
			for i := range many {
				n := max(2, lengths[i])
				v := g.Input(fmt.Sprintf("leaf%02d", i), tensor.Float32, n)
				all = append(all, v)
				for j := range n {
					in[v.Name] = append(in[v.Name], float64(i+1)/8-float64(j))
				}
				for j := range uses(i) {
					y = g.Add(y, g.ReduceSum(g.Mul(g.Mul(v, v), g.Float(float64(j+i+1))), false, 0))
				}
			}
			for i, d := range Gradients(g, y, g.Float(1), all) {
				if (d == nil) != (uses(i) == 0) {
					t.Errorf("%s is used %d times, its gradient is %v", all[i].Name, uses(i), d)
				}
				if d != nil {
					g.Output("d"+all[i].Name, d)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		adds := 0
		for _, n := range flat(g.Nodes) {
			if n.Op == "Concat" && len(n.Inputs) > joined {
				t.Errorf("%s joins %d", n.Name, len(n.Inputs))
			}
			if n.Op == "Add" && n.Outputs[0].Rank() == 1 {
				adds++
			}
		}
		if device == tensor.CUDA && adds > many/2 {
			t.Errorf("%d sums of gradients", adds)
		}
		out, err := reference.Run(g, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got, want := run(tensor.CUDA), run(tensor.Host)
	if len(got) != len(want) || len(want) < joined {
		t.Fatalf("%d gradients, %d on the host, of %d", len(got), len(want), many)
	}
	for name, w := range want {
		for i := range w {
			if len(got[name]) != len(w) || math.Abs(got[name][i]-w[i]) > 1e-12*math.Abs(w[i]) {
				t.Errorf("%s is %v, want %v", name, got[name], w)
				break
			}
		}
	}
}
