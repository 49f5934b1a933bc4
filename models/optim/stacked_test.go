package optim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// manyVariables have a few shapes: one of more variables than a stack holds and, if wide, one
// whose squares are computed by a matrix product.
func manyVariables(wide bool) (names []string, shapes map[string][]int) {
	shapes = map[string][]int{"lone": {2, 3}, "odd": {5}}
	if wide {
		shapes["wide"] = []int{512, 512}
	}
	for i := range 3 {
		shapes[fmt.Sprint("kernel", i)] = []int{2, 2, 3, 1}
	}
	for i := range stackedVariables + 2 {
		shapes[fmt.Sprint("gain", i)] = []int{3}
	}
	return slices.Sorted(maps.Keys(shapes)), shapes
}

func stepGraph(t *testing.T, c Config, device tensor.Device, custom bool) *graph.Graph {
	t.Helper()
	names, shapes := manyVariables(c.Clip)
	g, err := graph.Build("step", func(g *graph.Graph) {
		g.Device, g.CustomOps = device, custom
		var vars []Variable
		for _, name := range names {
			vars = append(vars, Variable{name, g.Input(name, tensor.Float32, shapes[name]...), g.Input(name+".grad", tensor.Float32, shapes[name]...)})
		}
		r := c.Forward(g, vars, g.Input("lr", tensor.Float32, 1), g.Input("loss_scale", tensor.Float32, 1))
		for i, v := range vars {
			g.Output("new/"+v.Name, r.Values[i])
		}
		for _, s := range r.State {
			if !slices.Equal(s.In.Shape, s.Out.Shape) {
				t.Errorf("%s %v becomes %v", s.Name, s.In.Shape, s.Out.Shape)
			}
			g.Output("new/"+s.Name, s.Out)
		}
		g.Output("grad_norm", r.GradNorm)
		g.Output("weight_norm", r.WeightNorm)
		g.Output("finite", r.Finite)
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// On CUDA without our operators variables are stacked, and each is updated as if it were alone:
// by its own norms, even if they are zero.
func TestStackedIsEachAlone(t *testing.T) {
	eachAlone(t, false, func(_ Config, alone int) int { return alone * 2 / 5 })
}

// The same holds for operators that take all variables, in a number of nodes that does not depend
// on the number of variables.
func TestTogetherIsEachAlone(t *testing.T) {
	eachAlone(t, true, func(c Config, _ int) int {
		return map[string]int{"sgd": 14, "lars": 32, "adamw": 20}[c.Name]
	})
}

// eachAlone compares with the portable graph; most bounds the number of nodes, given that of alone.
func eachAlone(t *testing.T, custom bool, most func(c Config, alone int) int) {
	for _, name := range []string{"sgd", "lars", "adamw"} {
		c, err := Default(name)
		if err != nil {
			t.Fatal(err)
		}
		clipped, plain := c, c
		clipped.Clip, clipped.WeightDecay = true, 0.1
		plain.Momentum, plain.WeightDecay = 0, 0
		for _, c := range []Config{c, clipped, plain} {
			alone, stacked := stepGraph(t, c, tensor.Host, false), stepGraph(t, c, tensor.CUDA, custom)
			if a, b := len(alone.Nodes), len(stacked.Nodes); b > most(c, a) {
				t.Errorf("%s: %d nodes, %d on CUDA", name, a, b)
			}
			in, rng := map[string][]float64{}, rand.New(rand.NewPCG(1, 2))
			for _, v := range alone.Inputs {
				for range v.Elements() {
					in[v.Name] = append(in[v.Name], float64(rng.Float32()))
				}
			}
			in["kernel1"] = make([]float64, 12)
			in["kernel2.grad"] = make([]float64, 12)
			want, err := reference.Run(alone, in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := reference.Run(stacked, in)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Errorf("%s: %d outputs, want %d", name, len(got), len(want))
			}
			for key, w := range want {
				expect(t, got, map[string][]float64{key: w})
			}
		}
	}
}

// Large variables are not worth the passes that stacking costs, and no stack has more than the
// runtime concatenates in one kernel.
func TestStacks(t *testing.T) {
	g := graph.New("stacks")
	var vars []Variable
	for i, shape := range [][]int{{4096, 4096}, {3}, {4096, 4096}, {3}, {3, 1}} {
		vars = append(vars, Variable{Value: g.Input(fmt.Sprint(i), tensor.Float32, shape...)})
	}
	if got := fmt.Sprint(stacks(vars)); got != "[[0] [1 3] [2] [4]]" {
		t.Errorf("stacks %s", got)
	}
	for _, n := range stepGraph(t, Config{Name: "sgd"}, tensor.CUDA, false).Nodes {
		if n.Op == "Concat" && len(n.Inputs) > stackedVariables || n.Op == "Split" && len(n.Outputs) > stackedVariables {
			t.Errorf("%s has %d inputs, %d outputs", n.Name, len(n.Inputs), len(n.Outputs))
		}
		if strings.Contains(n.Name, "lone") && n.Op == "Concat" {
			t.Errorf("%s joins nothing", n.Name)
		}
	}
}
