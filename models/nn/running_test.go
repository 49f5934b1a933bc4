package nn

import (
	"fmt"
	"math"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// On CUDA running statistics are updated together after all batches, with the same results as
// elsewhere, each with its own factors, even with more of one shape than the runtime concatenates
// at once.
func TestSettledIsOneByOne(t *testing.T) {
	run := func(device tensor.Device, custom bool) map[string][]float64 {
		in := map[string][]float64{}
		g, err := graph.Build("running", func(g *graph.Graph) {
			g.Device, g.CustomOps = device, custom
			s := NewScope(g, Train)
			for i := range joined + 5 {
				name, c, batches := fmt.Sprint("stat", i), 2, 2
				switch i {
				case 3:
					c = 3
				case 7:
					batches = 1
				}
				s.Statistic(name, 0, c)
				in[name] = []float64{1, float64(i), 3}[:c]
				for j := range batches {
					value := g.Input(fmt.Sprintf("%s.%d", name, j), tensor.Float32, c)
					in[value.Name] = []float64{float64(i), float64(j), 5}[:c]
					s.Observe(name, value, 1+float64(i)/8)
				}
			}
			s.Settle()
			for _, p := range s.Params() {
				g.Output("new "+p.Name, p.Out)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes {
			if n.Op == "Concat" && len(n.Inputs) > joined {
				t.Errorf("%s joins %d", n.Name, len(n.Inputs))
			}
		}
		if custom && len(g.Nodes) > 2 { // one per number of observations
			t.Errorf("%d nodes", len(g.Nodes))
		}
		out, err := reference.Run(g, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := run(tensor.Host, false)
	for _, custom := range []bool{false, true} {
		got := run(tensor.CUDA, custom)
		for name, w := range want {
			for i := range w {
				if !(math.Abs(got[name][i]-w[i]) <= 1e-6*math.Abs(w[i])) {
					t.Errorf("own operators %v: %s is %v, want %v", custom, name, got[name], w)
					break
				}
			}
		}
	}
}
