package grad

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// fixture is one case of scripts/golden/ops.py: inputs, the result y, a seed dy
// and the gradients, by name.
type fixture struct {
	name    string
	attr    attributes
	tensors map[string]*tensor.Tensor
}

type attributes struct {
	Op                  string
	Kernel, Stride, Pad int
	Eps, Momentum       float64
	Zero                []string `json:"zero_grad"` // inputs whose gradient is zero and not stored
}

func fixtures(t *testing.T) []fixture {
	t.Helper()
	all, metadata, err := tensor.ReadSafetensorsFile("../../scripts/golden/fixtures/ops.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]attributes
	if err := json.Unmarshal([]byte(metadata["cases"]), &cases); err != nil {
		t.Fatal(err)
	}
	var out []fixture
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		f := fixture{name, cases[name], map[string]*tensor.Tensor{}}
		for full, x := range all {
			if key, ok := strings.CutPrefix(full, name+"/"); ok {
				f.tensors[key] = x
			}
		}
		out = append(out, f)
	}
	return out
}

// inputs are the names of the inputs of the case, those with a gradient first.
func (f fixture) inputs() (names []string, gradients int) {
	for key := range f.tensors {
		if f.tensors["d"+key] != nil && key != "y" {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return append(names, f.attr.Zero...), len(names)
}

// build makes the graph of the case: y and the gradient d<input> of each input. In a graph with
// blocks, x is blocked wherever possible.
func (f fixture) build(t *testing.T, block int) *graph.Graph {
	t.Helper()
	g, err := graph.Build(f.name, func(g *graph.Graph) {
		g.Block = block
		names, gradients := f.inputs()
		x, wrt := map[string]value{}, []value{}
		for _, name := range names {
			v := g.Input(name, tensor.Float32, f.tensors[name].Shape...)
			if name == "x" && v.Rank() == 4 && g.Blocks(v.Shape[1]) {
				v = g.ToBlocked(v)
			}
			x[name], wrt = v, append(wrt, v)
		}
		y := operators[f.attr.Op](g, x, f.attr)
		seed := sameLayout(g, g.Input("dy", tensor.Float32, y.Shape...), y)
		g.Output("y", g.ToPlain(y))
		for i, d := range Gradients(g, y, seed, wrt[:gradients]) {
			g.Output("d"+names[i], g.ToPlain(d))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (f fixture) feed(g *graph.Graph) map[string][]float64 {
	in := map[string][]float64{}
	for _, v := range g.Inputs {
		for _, x := range f.tensors[v.Name].Float32() {
			in[v.Name] = append(in[v.Name], float64(x))
		}
	}
	return in
}

// compare returns the largest error of any output relative to its largest element.
func (f fixture) compare(t *testing.T, who string, got map[string][]float64, bound float64) (worst float64) {
	t.Helper()
	for name, g := range got {
		var want []float64
		for _, x := range f.tensors[name].Float32() {
			want = append(want, float64(x))
		}
		e := relative(g, want)
		if worst = max(worst, e); !(e <= bound) {
			t.Errorf("%s: %s is %.1e from PyTorch", who, name, e)
		}
	}
	return worst
}

// operators builds y from the inputs, by the op of a case.
var operators = map[string]func(g *graph.Graph, x map[string]value, a attributes) value{
	"conv": func(g *graph.Graph, x map[string]value, a attributes) value {
		return Conv(g, x["x"], x["w"], graph.Square(a.Kernel, a.Stride, a.Pad))
	},
	"linear": func(g *graph.Graph, x map[string]value, a attributes) value {
		return g.Gemm(x["x"], x["w"], x["b"], graph.GemmAttr{TransB: true})
	},
	"batchnorm":      func(g *graph.Graph, x map[string]value, a attributes) value { return fixtureNorm(g, x, a, false) },
	"batchnorm_relu": func(g *graph.Graph, x map[string]value, a attributes) value { return fixtureNorm(g, x, a, true) },
	"relu":           func(g *graph.Graph, x map[string]value, a attributes) value { return g.Relu(x["x"]) },
	"gelu":           func(g *graph.Graph, x map[string]value, a attributes) value { return g.Gelu(x["x"]) },
	"maxpool":        fixtureMaxPool,
	"maxpool_odd":    fixtureMaxPool,
	"global_average_pool": func(g *graph.Graph, x map[string]value, a attributes) value {
		return GlobalAveragePool(g, x["x"])
	},
	"basic": func(g *graph.Graph, x map[string]value, a attributes) value {
		y := unit{x, a, "conv1.weight", "bn1", nil, true}.build(g, x["x"], a.Stride)
		return unit{x, a, "conv2.weight", "bn2", shortcut(g, x, a), true}.build(g, y, 1)
	},
	"bottleneck": func(g *graph.Graph, x map[string]value, a attributes) value {
		y := unit{x, a, "conv1.weight", "bn1", nil, true}.build(g, x["x"], 1)
		y = unit{x, a, "conv2.weight", "bn2", nil, true}.build(g, y, a.Stride)
		return unit{x, a, "conv3.weight", "bn3", shortcut(g, x, a), true}.build(g, y, 1)
	},
	"expander": func(g *graph.Graph, x map[string]value, a attributes) value {
		y := x["x"]
		for _, i := range []int{0, 3} {
			key := func(layer int, s string) value { return x[fmt.Sprintf("%d.%s", layer, s)] }
			y = g.Gemm(y, key(i, "weight"), key(i, "bias"), graph.GemmAttr{TransB: true})
			y, _, _ = BatchNorm(g, y, key(i+1, "weight"), key(i+1, "bias"), BatchNormOptions{Eps: 1e-5, Relu: true})
		}
		return g.Gemm(y, x["6.weight"], nil, graph.GemmAttr{TransB: true})
	},
}

func fixtureMaxPool(g *graph.Graph, x map[string]value, _ attributes) value {
	return MaxPool(g, x["x"], graph.Square(3, 2, 1))
}

func fixtureNorm(g *graph.Graph, x map[string]value, a attributes, relu bool) value {
	y, mean, variance := BatchNorm(g, x["x"], x["gamma"], x["beta"], BatchNormOptions{Eps: a.Eps, Relu: relu})
	n := float64(y.Elements() / y.Shape[1])
	running := func(old, batch value, factor float64) value {
		return g.Add(g.Mul(old, g.Float(1-a.Momentum)), g.Mul(batch, g.Float(a.Momentum*factor)))
	}
	oldMean, oldVar := g.Input("running_mean", tensor.Float32, y.Shape[1]), g.Input("running_var", tensor.Float32, y.Shape[1])
	g.Output("running_mean_out", running(oldMean, mean, 1))
	g.Output("running_var_out", running(oldVar, variance, n/(n-1)))
	return y
}

// unit is a convolution and the normalisation after it.
type unit struct {
	x            map[string]value
	a            attributes
	weight, norm string
	residual     value
	relu         bool
}

func (u unit) build(g *graph.Graph, x value, stride int) value {
	w := u.x[u.weight]
	x = Conv(g, x, w, graph.Square(w.Shape[2], stride, w.Shape[2]/2))
	y, _, _ := BatchNorm(g, x, u.x[u.norm+".weight"], u.x[u.norm+".bias"], BatchNormOptions{Eps: 1e-5, Residual: u.residual, Relu: u.relu})
	return y
}

// shortcut is x, or the projection if the case has one.
func shortcut(g *graph.Graph, x map[string]value, a attributes) value {
	if x["downsample.0.weight"] == nil {
		return x["x"]
	}
	return unit{x, a, "downsample.0.weight", "downsample.1", nil, false}.build(g, x["x"], a.Stride)
}

// Results and gradients match PyTorch's: in float64 up to the rounding of the fixtures, in float32
// to 1e-5.
func TestOperatorsEqualPyTorch(t *testing.T) {
	here, worst := orttest.BlockSize(t), map[string]float64{}
	for _, f := range fixtures(t) {
		for _, block := range []int{0, 8, 16} {
			t.Run(fmt.Sprintf("%s/block%d", f.name, block), func(t *testing.T) {
				if operators[f.attr.Op] == nil {
					t.Fatalf("no way to build %q", f.attr.Op)
				}
				g := f.build(t, block)
				out, err := reference.Run(g, f.feed(g))
				if err != nil {
					t.Fatal(err)
				}
				f.compare(t, "float64", out, 5e-7)
				if block == 0 || block == here {
					e := f.compare(t, "float32", orttest.Run(t, g, f.feed(g)), 1e-5)
					worst[f.name] = max(worst[f.name], e)
				}
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(worst)) {
		t.Logf("%-20s largest error in float32 %.1e", name, worst[name])
	}
}
