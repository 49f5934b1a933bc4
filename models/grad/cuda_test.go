package grad

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// families are the two kinds of graphs for CUDA, and wanted the operators that identify each.
var (
	families = map[string]bool{"custom": true, "portable": false}
	wanted   = map[string][]string{
		"custom": {"vicreg.cuda.Conv", "vicreg.cuda.ConvInputGrad", "vicreg.cuda.ConvWeightGrad",
			"vicreg.cuda.ConvMoments", "vicreg.cuda.Normalize", "vicreg.cuda.BatchNorm", "vicreg.cuda.BatchNormGrad", "vicreg.cuda.MaxPool", "vicreg.cuda.MaxPoolGrad"},
		"portable": {"com.ms.internal.nhwc.Conv", "com.ms.internal.nhwc.BatchNormalization", "com.ms.internal.nhwc.MaxPool",
			"com.ms.internal.nhwc.GlobalAveragePool", "com.microsoft.BiasAdd", "Where"},
	}
)

// A graph for CUDA computes the same as the portable one for the CPU, with other operators; the
// bound reflects its float32 constants.
func TestRulesOnCUDA(t *testing.T) {
	want := map[string]map[string][]float64{}
	for family, custom := range families {
		nodes := map[string]int{}
		for _, r := range slices.Concat(rowsOnCUDA(), layersOnCUDA()) {
			t.Run(fmt.Sprintf("%s/%s/%s", family, r.key, strings.ReplaceAll(r.name, " ", "_")), func(t *testing.T) {
				key := r.key + r.name
				if want[key] == nil {
					want[key] = r.problem(t, kind{}).gradients(t)
				}
				p := r.problem(t, kind{device: tensor.CUDA, custom: custom})
				got := p.gradients(t)
				for name := range want[key] {
					if e := relative(got[name], want[key][name]); !(e <= 1e-6) {
						t.Errorf("%s differs from the portable graph by %.1e:\n%s", name, e, p.backward)
					}
				}
				for _, n := range flat(p.backward.Nodes) {
					nodes[n.Key()]++
					if n.Domain == graph.DomainCUDA && !custom {
						t.Errorf("%s is %s", n.Name, n.Key())
					}
				}
			})
		}
		for _, key := range wanted[family] {
			if nodes[key] == 0 {
				t.Errorf("%s: no node %s", family, key)
			}
		}
	}
}

// A pointwise convolution and its gradients use cuDNN at any stride, without matrix products, and
// without nodes that gather its pixels or pad its gradient.
func TestPointwiseOnCUDA(t *testing.T) {
	for stride := 1; stride <= 2; stride++ {
		k := kind{device: tensor.CUDA, custom: true}
		n := map[string]int{}
		for _, node := range flat(halfNorm(t, k, tensor.Float16, []int{8, 16, 7, 8}, 64, graph.Square(1, stride, 0)).Nodes) {
			n[node.Op]++
		}
		got := fmt.Sprint(n["ConvMoments"], n["ConvInputGrad"], n["ConvWeightGrad"], n["Gemm"]+n["FusedMatMul"], n["Slice"]+n["Gather"], n["Pad"])
		if got != "1 1 1 0 0 0" {
			t.Errorf("stride %d: %s", stride, got)
		}
	}
}

// rowsOnCUDA are the rows of all rules, and one of a layer that follows others.
func rowsOnCUDA() []row {
	return append(slices.Clone(rows), row{key: "vicreg.GlobalAveragePool", name: "channels last", in: []input{in(2, 3, 4, 5), in(4, 3, 1, 1)},
		f: func(g *graph.Graph, x []value) value {
			return GlobalAveragePool(g, Conv(g, x[0], x[1], graph.Square(1, 1, 0)))
		}})
}

// layersOnCUDA cover the code paths that exist on CUDA alone.
func layersOnCUDA() (out []row) {
	for i := range 4 {
		add := func(x input, m int, win graph.Window) {
			out = append(out, convNormRow(x, m, win, i&1 == 1, i&2 == 2))
		}
		add(in(8, 4, 4, 4), 8, graph.Square(1, 1, 0)) // folded
		add(in(8, 4, 4, 4), 16, graph.Square(1, 2, 0))
		add(in(4, 4, 5, 7), 8, graph.Square(1, 2, 0)) // with and without the last pixels
		add(in(4, 6, 6, 3), 5, graph.Square(1, 2, 0))
		add(in(3, 5, 3, 3), 11, graph.Square(1, 1, 0))
		add(in(8, 4, 4, 4), 7, graph.Square(1, 1, 0)) // not folded
		add(in(8, 3, 6, 4), 5, graph.Square(3, 2, 1))
		add(in(4, 3, 5, 4), 4, graph.Square(3, 1, 1)) // crossedGrad
		add(in(4, 4, 5, 4), 4, graph.Window{KH: 2, KW: 3, Stride: 1, Pads: [4]int{1, 0, 0, 2}})
	}
	return out
}

func flat(nodes []*graph.Node) (all []*graph.Node) {
	for _, n := range nodes {
		all = append(append(all, n), flat(n.Body)...)
	}
	return all
}

// halfNorm is a ConvNorm of x [N, C, H, W] computed in a type.
func halfNorm(t *testing.T, k kind, compute tensor.DType, shape []int, m int, win graph.Window) *graph.Graph {
	t.Helper()
	g, err := graph.Build("half", func(g *graph.Graph) {
		g.Device, g.CustomOps = k.device, k.custom
		x, w := g.Input("x", tensor.Float32, shape...), g.Input("w", tensor.Float32, m, shape[1], win.KH, win.KW)
		gamma, beta := g.Input("gamma", tensor.Float32, m), g.Input("beta", tensor.Float32, m)
		y, mean, variance := ConvNorm(g, g.Cast(x, compute), g.Cast(w, compute), win, gamma, beta, BatchNormOptions{Eps: 1e-5})
		seed := sameLayout(g, g.Cast(g.Input("dy", tensor.Float32, y.Shape...), compute), y)
		for i, d := range Gradients(g, y, seed, []value{x, w, gamma, beta}) {
			g.Output([]string{"dx", "dw", "dgamma", "dbeta"}[i], d)
		}
		g.Output("y", g.Cast(g.ToPlain(y), tensor.Float32))
		g.Output("mean", mean)
		g.Output("variance", variance)
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Mixed precision rounds only what it stores: a layer's result and gradients are off by a few units
// of half precision, its statistics by less, even where squares and sums are beyond the range of
// half precision. A statistic that was itself rounded to it would be off by 2e-4. bfloat16 has
// three bits less.
func TestStatisticsInMixedPrecision(t *testing.T) {
	for _, c := range []struct {
		name string
		c, m int
		win  graph.Window
		size float64 // of the inputs
	}{
		{"folded", 8, 32, graph.Square(1, 1, 0), 1}, {"pointwise", 16, 8, graph.Square(1, 1, 0), 1}, {"3x3", 8, 8, graph.Square(3, 1, 1), 1},
		{"folded, large", 8, 32, graph.Square(1, 1, 0), 100}, {"pointwise, large", 16, 8, graph.Square(1, 1, 0), 100},
		{"folded, small", 8, 32, graph.Square(1, 1, 0), 0.03}, {"3x3, small", 8, 8, graph.Square(3, 2, 1), 0.03},
	} {
		exact := halfNorm(t, kind{}, tensor.Float32, []int{8, c.c, 16, 16}, c.m, c.win)
		for typ, of := range map[tensor.DType]struct {
			digits   int
			families map[string]bool
		}{tensor.Float16: {11, families}, tensor.BFloat16: {8, map[string]bool{"custom": true}}} {
			in := halfInputs(exact, c.size, of.digits)
			want, err := reference.Run(exact, in)
			if err != nil {
				t.Fatal(err)
			}
			for family, custom := range of.families {
				half := halfNorm(t, kind{device: tensor.CUDA, custom: custom}, typ, []int{8, c.c, 16, 16}, c.m, c.win)
				checkHalf(t, fmt.Sprintf("%s, %s, %v", c.name, family, typ), half, in, want, math.Ldexp(1, 11-of.digits))
			}
		}
	}
}

// halfInputs are exact in a type with the given precision; x has the given magnitude, is positive
// as after a ReLU, and has a few outliers.
func halfInputs(g *graph.Graph, size float64, precision int) map[string][]float64 {
	in, rng := map[string][]float64{}, rand.New(rand.NewPCG(5, 6))
	for _, v := range g.Inputs {
		in[v.Name] = draw(rng, (*rand.Rand).NormFloat64, v.Elements())
		for i, x := range in[v.Name] {
			if v.Name == "x" {
				x = size * math.Abs(x)
			}
			if v.Name == "x" && i%997 == 0 {
				x *= 20
			}
			in[v.Name][i] = digits(x, precision)
		}
	}
	return in
}

// checkHalf compares with the bounds of float16 times wide.
func checkHalf(t *testing.T, name string, half *graph.Graph, in, want map[string][]float64, wide float64) {
	t.Helper()
	got, err := reference.Rounded(half, in)
	if err != nil {
		t.Fatal(err)
	}
	for key, bound := range map[string]float64{"y": 8e-4, "mean": 1e-4, "variance": 3e-4, "dx": 1e-3, "dw": 1e-3, "dgamma": 1e-3, "dbeta": 5e-4} {
		if e := off(got[key], want[key]); !(e <= wide*bound) {
			t.Errorf("%s: %s is off by %.1e, want at most %.0e", name, key, e, wide*bound)
		}
	}
	for _, n := range flat(half.Nodes) {
		if n.Inputs[0].Type.Half() && (strings.HasPrefix(n.Op, "Reduce") || n.Op == "Mul" && n.Inputs[0] == n.Inputs[1]) {
			t.Errorf("%s: %s works on half precision", name, n.Name)
		}
	}
}

// digits rounds x to precision bits.
func digits(x float64, precision int) float64 {
	_, exp := math.Frexp(x)
	unit := math.Ldexp(1, exp-precision)
	return math.Round(x/unit) * unit
}

// off is ||got-want||/||want||.
func off(got, want []float64) float64 {
	diff, size := 0.0, 0.0
	for i, w := range want {
		diff, size = diff+(got[i]-w)*(got[i]-w), size+w*w
	}
	return math.Sqrt(diff / size)
}
