package reference_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

type value = *graph.Value

// run builds f on an input x = 1, 2, 3, ... of a shape and returns its result.
func run(t *testing.T, shape []int, f func(g *graph.Graph, x value) value) []float64 {
	t.Helper()
	g, err := graph.Build("test", func(g *graph.Graph) {
		g.Block = 2
		g.Output("y", f(g, g.Input("x", tensor.Float32, shape...)))
	})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, tensor.Elements(shape))
	for i := range x {
		x[i] = float64(i + 1)
	}
	out, err := reference.Run(g, map[string][]float64{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	return out["y"]
}

// known are results worked out by hand.
var known = []struct {
	name  string
	shape []int
	f     func(g *graph.Graph, x value) value
	want  []float64
}{
	{"broadcast", []int{2, 1}, func(g *graph.Graph, x value) value {
		return g.Mul(x, g.Cast(g.Ints(1, 10, 100), tensor.Float32))
	}, []float64{1, 10, 100, 2, 20, 200}},
	{"where", []int{3}, func(g *graph.Graph, x value) value {
		return g.Where(g.Greater(x, g.Float(1.5)), x, g.Neg(x))
	}, []float64{-1, 2, 3}},
	{"hard sigmoid", []int{3}, func(g *graph.Graph, x value) value {
		return g.HardSigmoid(g.Sub(x, g.Float(2)), 0.25, 0.5)
	}, []float64{0.25, 0.5, 0.75}},
	{"cast truncates", []int{3}, func(g *graph.Graph, x value) value {
		return g.Cast(g.Mul(x, g.Float(-0.75)), tensor.Int64)
	}, []float64{0, -1, -2}},
	{"matmul", []int{2, 2}, func(g *graph.Graph, x value) value { return g.MatMul(x, x) }, []float64{7, 10, 15, 22}},
	{"fused matmul", []int{2, 2}, func(g *graph.Graph, x value) value {
		return g.FusedMatMul(x, x, true, false, 0.5)
	}, []float64{5, 7, 7, 10}},
	{"gemm", []int{2, 2}, func(g *graph.Graph, x value) value {
		return g.Gemm(x, x, g.Cast(g.Ints(1, 2), tensor.Float32), graph.GemmAttr{TransB: true, Alpha: 2})
	}, []float64{11, 24, 23, 52}},
	{"reduce", []int{2, 3, 2}, func(g *graph.Graph, x value) value { return g.ReduceSum(x, false, 2, 0) }, []float64{18, 26, 34}},
	{"mean", []int{2, 3}, func(g *graph.Graph, x value) value { return g.ReduceMean(x, true, 1) }, []float64{2, 5}},
	{"squares", []int{2, 2}, func(g *graph.Graph, x value) value { return g.ReduceSumSquare(x, false, 0) }, []float64{10, 20}},
	{"transpose", []int{2, 1, 3}, func(g *graph.Graph, x value) value { return g.Transpose(x, 2, 1, 0) }, []float64{1, 4, 2, 5, 3, 6}},
	{"flip", []int{2, 3}, func(g *graph.Graph, x value) value { return g.Flip(x, 1) }, []float64{3, 2, 1, 6, 5, 4}},
	{"slice", []int{2, 3}, func(g *graph.Graph, x value) value { return g.Slice(x, 1, 1, 3) }, []float64{2, 3, 5, 6}},
	{"concat", []int{2, 1}, func(g *graph.Graph, x value) value { return g.Concat(1, x, g.Neg(x)) }, []float64{1, -1, 2, -2}},
	{"gather", []int{2, 3}, func(g *graph.Graph, x value) value { return g.Gather(x, g.Ints(2, 0), 1) }, []float64{3, 1, 6, 4}},
	{"scatter", []int{3}, func(g *graph.Graph, x value) value { return g.ScatterAdd(x, g.Ints(2, 0, 2), x) }, []float64{3, 2, 7}},
	{"pad", []int{1, 2}, func(g *graph.Graph, x value) value {
		return g.Pad(x, []int{1, 0}, []int{0, 1})
	}, []float64{0, 0, 0, 1, 2, 0}},
	{"conv", []int{1, 1, 2, 3}, func(g *graph.Graph, x value) value {
		return g.Conv(x, g.Full(1, 1, 1, 3, 3), g.Full(100, 1), graph.Square(3, 1, 1), 1)
	}, []float64{112, 121, 116, 112, 121, 116}},
	{"conv stride", []int{1, 1, 3, 3}, func(g *graph.Graph, x value) value {
		w := g.Reshape(g.Cast(g.Ints(1, 10), tensor.Float32), 1, 1, 1, 2)
		return g.Conv(x, w, nil, graph.Window{KH: 1, KW: 2, Stride: 2, Pads: [4]int{0, 1, 0, 0}}, 1)
	}, []float64{10, 32, 70, 98}},
	{"depthwise", []int{1, 2, 1, 2}, func(g *graph.Graph, x value) value {
		return g.Conv(x, g.Reshape(g.Cast(g.Ints(1, 10), tensor.Float32), 2, 1, 1, 1), nil, graph.Square(1, 1, 0), 2)
	}, []float64{1, 2, 30, 40}},
	{"transposed conv", []int{1, 1, 1, 2}, func(g *graph.Graph, x value) value {
		w := g.Reshape(g.Cast(g.Ints(1, 10, 100), tensor.Float32), 1, 1, 1, 3)
		return g.ConvTranspose(x, w, graph.Window{KH: 1, KW: 3, Stride: 2, Pads: [4]int{0, 1, 0, 1}}, [2]int{0, 1})
	}, []float64{10, 102, 20, 200}},
	{"maxpool", []int{1, 1, 2, 3}, func(g *graph.Graph, x value) value {
		y, _ := g.MaxPool(g.Neg(x), graph.Square(2, 1, 0))
		return y
	}, []float64{-1, -2}},
	{"maxpool index", []int{2, 1, 2, 2}, func(g *graph.Graph, x value) value {
		_, index := g.MaxPool(x, graph.Square(3, 2, 1))
		return index
	}, []float64{3, 7}},
	{"batch norm", []int{2, 2}, func(g *graph.Graph, x value) value {
		return g.BatchNormalization(x, g.Full(2, 2), g.Full(1, 2), g.Full(1, 2), g.Full(3, 2), 1)
	}, []float64{1, 2, 3, 4}},
	{"memory in blocks", []int{1, 4, 1, 3}, func(g *graph.Graph, x value) value {
		return g.View(g.ToBlocked(x))
	}, []float64{1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12}},
	{"channels last", []int{1, 4, 1, 2}, func(g *graph.Graph, x value) value {
		return g.ToChannelsLast(g.ToBlocked(x))
	}, []float64{1, 3, 5, 7, 2, 4, 6, 8}},
	{"weights in blocks", []int{2, 4, 1, 1}, func(g *graph.Graph, x value) value {
		return g.BlockWeights(x)
	}, []float64{1, 5, 2, 6, 3, 7, 4, 8}},
	{"affine in blocks", []int{1, 2, 1, 2}, func(g *graph.Graph, x value) value {
		b := g.ToBlocked(x)
		e := graph.Epilogue{Bias: g.Cast(g.Ints(-3, 1), tensor.Float32), Sum: b, Activation: "Relu"}
		return g.ToPlain(g.Affine(b, g.Cast(g.Ints(1, 10), tensor.Float32), e))
	}, []float64{0, 1, 34, 45}},
}

func TestKnownResults(t *testing.T) {
	for _, row := range known {
		if got := run(t, row.shape, row.f); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func TestFunctions(t *testing.T) {
	got := run(t, []int{1}, func(g *graph.Graph, x value) value {
		half := g.Mul(x, g.Float(0.5))
		return g.Concat(0, g.Exp(half), g.Erf(half), g.Gelu(half), g.Sqrt(half), g.Reciprocal(half), g.Pow(half, g.Add(x, x)))
	})
	want := []float64{math.Exp(0.5), math.Erf(0.5), 0.345731230637, math.Sqrt(0.5), 2, 0.25}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Errorf("function %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func TestSymbolicBatchFollowsFromTheInput(t *testing.T) {
	g := graph.New("open")
	x := g.Input("x", tensor.Float32, graph.Batch, 2)
	g.Output("y", g.ReduceSum(g.Reshape(x, graph.Batch, 2, 1), false, 1))
	out, err := reference.Run(g, map[string][]float64{"x": {1, 2, 3, 4, 5, 6}})
	if got := fmt.Sprint(out["y"]); err != nil || got != "[3 7 11]" {
		t.Errorf("got %v, %v", got, err)
	}
}

// Faults of a graph or its inputs are errors that say what is wrong.
func TestErrors(t *testing.T) {
	x := []float64{1, 2}
	for _, row := range []struct {
		want  string
		in    map[string][]float64
		build func(g *graph.Graph, y value)
	}{
		{"input x[2]: given 0 elements", nil, nil},
		{"input x[2]: given 3 elements", map[string][]float64{"x": {1, 2, 3}}, nil},
		{"node relu_1 (Mystery, from reference_test.go", map[string][]float64{"x": x}, func(_ *graph.Graph, y value) { y.Node.Op = "Mystery" }},
		{"result 0 has shape [2], the graph says [3]", map[string][]float64{"x": x}, func(_ *graph.Graph, y value) { y.Shape = []int{3} }},
		{"not computed yet", map[string][]float64{"x": x}, func(g *graph.Graph, y value) { g.Neg(y); slices.Reverse(g.Nodes) }},
		{"index 5 is outside an axis of 2", map[string][]float64{"x": x}, func(g *graph.Graph, y value) { g.Gather(y, g.Ints(5), 0) }},
	} {
		g := graph.New("faulty")
		y := g.Relu(g.Input("x", tensor.Float32, 2))
		if row.build != nil {
			row.build(g, y)
		}
		out, err := reference.Run(g, row.in)
		if out != nil || err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "evaluate graph faulty: ") {
			t.Errorf("got %v, %v, want %q", out, err, row.want)
		}
	}
}
