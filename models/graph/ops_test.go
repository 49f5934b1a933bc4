package graph_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

type value = *graph.Value

// maker declares a float32 input with values between 0.3 and 1.3.
type maker func(shape ...int) value

// opRows build each operator at least once, by the name of the method; blocked ones are built only
// in a graph with blocks.
var opRows = []struct {
	method  string
	blocked bool
	build   func(g *graph.Graph, in maker) []value
}{
	{"Add", false, pairs((*graph.Graph).Add)},
	{"Sub", false, pairs((*graph.Graph).Sub)},
	{"Mul", false, pairs((*graph.Graph).Mul)},
	{"Div", false, pairs((*graph.Graph).Div)},
	{"Max", false, pairs((*graph.Graph).Max)},
	{"Min", false, pairs((*graph.Graph).Min)},
	{"Pow", false, pairs((*graph.Graph).Pow)},
	{"Sum", false, func(g *graph.Graph, in maker) []value { return []value{g.Sum(in(2, 3), in(2, 3), in(2, 3))} }},
	{"Split", false, func(g *graph.Graph, in maker) []value { return g.Split(in(2, 6), 1, 3) }},
	{"Greater", false, pairs((*graph.Graph).Greater)},
	{"And", false, func(g *graph.Graph, in maker) []value {
		return []value{g.And(g.Greater(in(2, 3), g.Float(0.8)), g.Greater(in(3), g.Float(0.8)))}
	}},
	{"Where", false, func(g *graph.Graph, in maker) []value {
		return []value{g.Where(g.Greater(in(4, 1), g.Float(0.8)), in(3), in(2, 1, 1))}
	}},
	{"Neg", false, signed((*graph.Graph).Neg)},
	{"Sqrt", false, func(g *graph.Graph, in maker) []value { return []value{g.Sqrt(in(2, 3))} }},
	{"Reciprocal", false, signed((*graph.Graph).Reciprocal)},
	{"Exp", false, signed((*graph.Graph).Exp)},
	{"Erf", false, signed((*graph.Graph).Erf)},
	{"Abs", false, signed((*graph.Graph).Abs)},
	{"Relu", false, signed((*graph.Graph).Relu)},
	{"Gelu", false, signed((*graph.Graph).Gelu)},
	{"Identity", false, signed((*graph.Graph).Identity)},
	{"HardSigmoid", false, signed(func(g *graph.Graph, x value) value { return g.HardSigmoid(x, 0.9, 0.25) })},
	{"Not", false, signed(func(g *graph.Graph, x value) value { return g.Not(g.Greater(x, g.Float(0))) })},
	{"IsNaN", false, signed(func(g *graph.Graph, x value) value { return g.IsNaN(g.Sqrt(x)) })},
	{"IsInf", false, signed(func(g *graph.Graph, x value) value { return g.IsInf(g.Div(x, g.Max(x, g.Float(0)))) })},
	{"Cast", false, signed(func(g *graph.Graph, x value) value { return g.Cast(g.Mul(x, g.Float(9)), tensor.Int64) })},
	{"CastOnce", false, signed(func(g *graph.Graph, x value) value { return g.CastOnce(g.Mul(x, g.Float(9)), tensor.Int64) })},
	{"MatMul", false, func(g *graph.Graph, in maker) []value {
		return []value{g.MatMul(in(2, 3), in(3, 4)), g.MatMul(in(5, 1, 2, 3), in(2, 3, 4))}
	}},
	{"FusedMatMul", false, fusedMatMuls},
	{"Gemm", false, gemms},
	{"ReduceSum", false, reductions((*graph.Graph).ReduceSum)},
	{"ReduceMean", false, reductions((*graph.Graph).ReduceMean)},
	{"ReduceSumSquare", false, reductions((*graph.Graph).ReduceSumSquare)},
	{"Reshape", false, func(g *graph.Graph, in maker) []value {
		return []value{g.Reshape(in(2, 3, 4), 6, 4), g.Reshape(in(2, 3), 3, -1), g.Reshape(in(1), []int{}...)}
	}},
	{"Transpose", false, func(g *graph.Graph, in maker) []value { return []value{g.Transpose(in(2, 3, 4), 1, 2, 0)} }},
	{"Expand", false, func(g *graph.Graph, in maker) []value { return []value{g.Expand(in(3, 1), 2, 3, 4)} }},
	{"Slice", false, func(g *graph.Graph, in maker) []value { return []value{g.Slice(in(2, 5, 3), 1, 1, 4)} }},
	{"Flip", false, func(g *graph.Graph, in maker) []value { return []value{g.Flip(in(2, 3, 4), 2, 0)} }},
	{"Concat", false, func(g *graph.Graph, in maker) []value { return []value{g.Concat(1, in(2, 1), in(2, 3), in(2, 2))} }},
	{"Gather", false, func(g *graph.Graph, in maker) []value {
		index := g.Const("index", func() *tensor.Tensor { return tensor.Of([]int64{2, 0, 0, 1}, 2, 2) })
		return []value{g.Gather(in(2, 3, 4), index, 1)}
	}},
	{"ScatterAdd", false, func(g *graph.Graph, in maker) []value {
		return []value{g.ScatterAdd(in(4), g.Ints(3, 0, 3), in(3))}
	}},
	{"Pad", false, func(g *graph.Graph, in maker) []value { return []value{g.Pad(in(2, 3), []int{1, 0}, []int{0, 2})} }},
	{"ZerosBehind", false, func(g *graph.Graph, in maker) []value {
		return []value{g.ZerosBehind(in(2, 3), 0, 2), g.ZerosBehind(in(2, 3, 4), 1, 1), g.ZerosBehind(in(2, 3), 1, 4)}
	}},
	{"Conv", false, convs},
	{"ConvTranspose", false, func(g *graph.Graph, in maker) []value {
		win := graph.Window{KH: 3, KW: 2, Stride: 2, Pads: [4]int{1, 0, 0, 1}}
		return []value{g.ConvTranspose(in(2, 3, 4, 5), in(3, 4, 3, 2), win, [2]int{0, 1})}
	}},
	{"MaxPool", false, func(g *graph.Graph, in maker) []value {
		y, index := g.MaxPool(in(2, 3, 7, 6), graph.Square(3, 2, 1))
		return []value{y, index}
	}},
	{"BatchNormalization", false, func(g *graph.Graph, in maker) []value {
		return []value{g.BatchNormalization(in(2, 3, 4, 5), in(3), in(3), in(3), in(3), 1e-3),
			g.BatchNormalization(in(4, 3), in(3), in(3), in(3), in(3), 1e-3)}
	}},
	{"ToBlocked", true, func(g *graph.Graph, in maker) []value { return []value{g.ToPlain(g.ToBlocked(in(2, 32, 3, 4)))} }},
	{"ToPlain", true, func(g *graph.Graph, in maker) []value {
		x := g.ToBlocked(in(2, 16, 3, 4))
		return []value{g.ToPlain(g.Relu(g.Sub(g.Mul(x, x), g.Float(0.8))))}
	}},
	{"ToChannelsLast", true, func(g *graph.Graph, in maker) []value {
		return []value{g.ToChannelsLast(g.ToBlocked(in(2, 32, 3, 4))), g.ToChannelsLast(in(2, 3, 4, 5))}
	}},
	{"View", true, func(g *graph.Graph, in maker) []value {
		x := g.ToBlocked(in(2, 32, 3, 4))
		return []value{g.View(x), g.View(x, 8, -1), g.View(in(2, 6), 3, 4)}
	}},
	{"LanesLast", true, func(g *graph.Graph, in maker) []value {
		return []value{g.LanesLast(in(6, g.Block, 5), 6), g.LanesLast(g.ToBlocked(in(1, 32, 3, 1)), 2)}
	}},
	{"LanesFirst", true, func(g *graph.Graph, in maker) []value { return []value{g.LanesFirst(in(6, 5, g.Block), 6)} }},
	{"SwapRows", true, func(g *graph.Graph, in maker) []value { return []value{g.SwapRows(in(2, 3, 5, g.Block), 2, 3)} }},
	{"BlockedMean", true, func(g *graph.Graph, in maker) []value {
		return []value{g.ToPlain(g.BlockedMean(g.ToBlocked(in(2, 32, 3, 5))))}
	}},
	{"Unview", true, func(g *graph.Graph, in maker) []value {
		return []value{g.ToPlain(g.Unview(in(2, 32/g.Block, 12, g.Block), 2, 32, 3, 4))}
	}},
	{"BlockedConv", true, blockedConvs},
	{"BlockWeights", true, func(g *graph.Graph, in maker) []value {
		return []value{g.BlockWeights(in(32, 16, 3, 2)), g.BlockWeights(in(16, 3, 2, 3))}
	}},
	{"Affine", true, func(g *graph.Graph, in maker) []value {
		x, sum := g.ToBlocked(in(2, 32, 3, 4)), g.ToBlocked(in(2, 32, 3, 4))
		return []value{
			g.ToPlain(g.Affine(x, in(32), graph.Epilogue{})),
			g.ToPlain(g.Affine(x, in(32), graph.Epilogue{Bias: in(32), Sum: sum})),
			g.ToPlain(g.Affine(x, in(32), graph.Epilogue{Bias: g.Neg(in(32)), Activation: "Relu"}))}
	}},
}

// builders are methods that return a value but are not operators.
var builders = []string{"Input", "Const", "Float", "Like", "Ints", "Full", "Lookup", "Composite", "Once", "WiderPixels"}

func pairs(op func(g *graph.Graph, a, b value) value) func(*graph.Graph, maker) []value {
	return func(g *graph.Graph, in maker) []value {
		return []value{op(g, in(2, 3), in(2, 3)), op(g, in(4, 1, 3), in(2, 1)), op(g, in(2), g.Float(0.7))}
	}
}

func signed(op func(g *graph.Graph, x value) value) func(*graph.Graph, maker) []value {
	return func(g *graph.Graph, in maker) []value { return []value{op(g, g.Sub(in(3, 5), g.Float(0.8)))} }
}

func reductions(op func(g *graph.Graph, x value, keep bool, axes ...int) value) func(*graph.Graph, maker) []value {
	return func(g *graph.Graph, in maker) []value {
		x := in(2, 3, 4)
		return []value{op(g, x, true, 1), op(g, x, false, 2, 0), op(g, x, false, 0, 1, 2)}
	}
}

func fusedMatMuls(g *graph.Graph, in maker) (out []value) {
	for i := range 4 {
		ta, tb := i&1 == 1, i&2 == 2
		shapes := [2][]int{{2, 3}, {3, 4}}
		for j, swap := range []bool{ta, tb} {
			if swap {
				slices.Reverse(shapes[j])
			}
		}
		a, b := shapes[0], shapes[1]
		out = append(out, g.FusedMatMul(in(a...), in(b...), ta, tb, 0.5),
			g.FusedMatMul(in(append([]int{5}, a...)...), in(append([]int{5}, b...)...), ta, tb, 1))
	}
	return out
}

func gemms(g *graph.Graph, in maker) []value {
	return []value{
		g.Gemm(in(2, 3), in(3, 4), nil, graph.GemmAttr{}),
		g.Gemm(in(3, 2), in(4, 3), in(4), graph.GemmAttr{TransA: true, TransB: true, Alpha: 0.5}),
		g.Gemm(in(2, 3), in(3, 4), in(2, 1), graph.GemmAttr{}),
		g.Gemm(in(2, 3), in(3, 4), in(2, 4), graph.GemmAttr{}),
	}
}

func convs(g *graph.Graph, in maker) []value {
	return []value{
		g.Conv(in(2, 3, 5, 6), in(4, 3, 3, 3), nil, graph.Square(3, 1, 1), 1),
		g.Conv(in(2, 4, 6, 5), in(6, 2, 2, 3), in(6), graph.Window{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 0, 2, 1}}, 2),
		g.Conv(in(1, 3, 4, 4), in(3, 1, 1, 1), nil, graph.Square(1, 2, 0), 3),
		g.Conv(in(1, 3, 6, 7), in(2, 3, 2, 3), nil, graph.Window{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 0, 0, 2}, Dilation: [2]int{3, 2}}, 1),
	}
}

func blockedConvs(g *graph.Graph, in maker) []value {
	w, stem := in(32, 16, 3, 3), in(16, 3, 3, 3)
	x := g.ToBlocked(g.Sub(in(2, 16, 5, 6), g.Float(0.8)))
	sum := g.ToBlocked(in(2, 32, 5, 6))
	apart := graph.Window{KH: 3, KW: 2, Stride: 1, Pads: [4]int{2, 1, 0, 0}, Dilation: [2]int{2, 3}}
	all := graph.Epilogue{Bias: g.Neg(in(32)), Sum: sum, Activation: "Relu"}
	return []value{
		g.ToPlain(g.BlockedConv(x, g.BlockWeights(w), w.Shape, graph.Square(3, 1, 1), 1, graph.Epilogue{})),
		g.ToPlain(g.BlockedConv(x, g.BlockWeights(w), w.Shape, graph.Square(3, 1, 1), 1, all)),
		g.ToPlain(g.BlockedConv(x, g.BlockWeights(w), w.Shape, graph.Square(3, 2, 1), 1, graph.Epilogue{Bias: in(32)})),
		g.ToPlain(g.BlockedConv(x, g.BlockWeights(in(16, 16, 3, 2)), []int{16, 16, 3, 2}, apart, 1, graph.Epilogue{})),
		g.ToPlain(g.BlockedConv(in(2, 3, 5, 6), g.BlockWeights(stem), stem.Shape, graph.Square(3, 1, 1), 1, graph.Epilogue{})),
	}
}

// everyOp is a graph of all rows that the block size allows, and inputs for it.
func everyOp(t *testing.T, block int) (*graph.Graph, map[string][]float64) {
	t.Helper()
	g, err := graph.Build("every_op", func(g *graph.Graph) {
		g.Block = block
		in := inputs(g)
		for _, row := range opRows {
			if row.blocked && block == 0 {
				continue
			}
			g.Prefix(row.method, func() {
				for i, v := range row.build(g, in) {
					g.Output(fmt.Sprintf("%s/out%d", row.method, i), v)
				}
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g, randomInputs(g)
}

// randomInputs are exact in float32.
func randomInputs(g *graph.Graph) map[string][]float64 {
	rng, inputs := rand.New(rand.NewPCG(1, 2)), map[string][]float64{}
	for _, v := range g.Inputs {
		data := make([]float64, v.Elements())
		for i := range data {
			data[i] = float64(0.3 + rng.Float32())
		}
		inputs[v.Name] = data
	}
	return inputs
}

func TestEveryOperatorHasARow(t *testing.T) {
	have := map[string]bool{}
	for _, row := range opRows {
		have[row.method] = true
	}
	for _, row := range lastRows {
		have[row.method] = true
	}
	of := reflect.TypeFor[*graph.Graph]()
	for i := range of.NumMethod() {
		m := of.Method(i)
		if m.Type.NumOut() > 0 && m.Type.Out(0) == reflect.TypeFor[value]() && !have[m.Name] && !slices.Contains(builders, m.Name) {
			t.Errorf("method %s has no row in opRows", m.Name)
		}
	}
}

// Package reference checks each shape as it runs, so this tests the shapes that the graph infers,
// with blocks of either size.
func TestReferenceRunsEveryOperator(t *testing.T) {
	for _, block := range []int{0, 8, 16} {
		g, inputs := everyOp(t, block)
		if _, err := reference.Run(g, inputs); err != nil {
			t.Errorf("block %d: %v", block, err)
		}
	}
}

// ONNX Runtime and package reference agree on every operator; the bound allows a few float32
// roundings of values near 1.
func TestRuntimeAgreesWithReference(t *testing.T) {
	for _, block := range blocks(t) {
		g, inputs := everyOp(t, block)
		want, err := reference.Run(g, inputs)
		if err != nil {
			t.Fatal(err)
		}
		got := orttest.Run(t, g, inputs)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			for i, w := range want[name] {
				if d := math.Abs(got[name][i] - w); !(d <= 2e-6*(1+math.Abs(w))) {
					t.Errorf("block %d: %s[%d] = %v, want %v", block, name, i, got[name][i], w)
					break
				}
			}
		}
	}
}

// A blocked convolution computes the same as the plain one.
func TestBlockedConvEqualsConv(t *testing.T) {
	for _, block := range []int{8, 16} {
		for _, channels := range []int{3, 32} {
			g := build(t, "blocked", func(g *graph.Graph) {
				g.Block = block
				in, win := inputs(g), graph.Window{KH: 3, KW: 2, Stride: 2, Pads: [4]int{1, 0, 2, 1}}
				x, w, bias := in(2, channels, 5, 6), in(32, channels, 3, 2), in(32)
				y := g.Conv(x, w, bias, win, 1)
				g.Output("plain", g.Relu(g.Sub(g.Add(y, y), g.Float(24))))
				if g.Blocks(channels) {
					x = g.ToBlocked(x)
				}
				e := graph.Epilogue{Bias: g.Sub(bias, g.Float(24)), Sum: g.ToBlocked(y), Activation: "Relu"}
				g.Output("blocked", g.ToPlain(g.BlockedConv(x, g.BlockWeights(w), w.Shape, win, 1, e)))
			})
			out, err := reference.Run(g, randomInputs(g))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range out["plain"] {
				if got := out["blocked"][i]; !(math.Abs(got-want) <= 1e-9) {
					t.Fatalf("block %d, %d channels: element %d is %v, want %v", block, channels, i, got, want)
				}
			}
		}
	}
}

// At run time every tensor has the shape that the model declares.
func TestRuntimeShapesEqualValueInfo(t *testing.T) {
	for _, block := range blocks(t) {
		g, inputs := everyOp(t, block)
		orttest.CheckShapes(t, g, inputs, 0)
	}
}

// A graph with a symbolic batch runs for any number of images.
func TestSymbolicBatch(t *testing.T) {
	g, err := graph.Build("open", openBatch)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		inputs := map[string][]float64{"x": make([]float64, n*3*4*6)}
		for i := range inputs["x"] {
			inputs["x"][i] = float64(i % 7)
		}
		orttest.CheckShapes(t, g, inputs, n)
		want, err := reference.Run(g, inputs)
		if err != nil {
			t.Fatal(err)
		}
		if got := orttest.Run(t, g, inputs)["y"]; !slices.Equal(got, want["y"]) {
			t.Errorf("%d images: got %v, want %v", n, got, want["y"])
		}
	}
}

func openBatch(g *graph.Graph) {
	x := g.Cast(g.Input("x", tensor.Uint8, graph.Batch, 4, 6, 3), tensor.Float32)
	x = g.Relu(g.Sub(g.Transpose(x, 0, 3, 1, 2), g.Full(2, 3, 1, 1)))
	x = g.Conv(x, g.Full(0.5, 2, 3, 3, 3), g.Full(1, 2), graph.Square(3, 2, 1), 1)
	x, _ = g.MaxPool(x, graph.Square(2, 1, 0))
	x = g.BatchNormalization(x, g.Full(2, 2), g.Full(1, 2), g.Full(0, 2), g.Full(1, 2), 0)
	x = g.Concat(1, x, g.Slice(g.Pad(x, []int{0, 0, 1, 0}, []int{0, 0, 0, 0}), 2, 0, 1))
	flat := g.Reshape(x, graph.Batch, x.Elements()/x.Dim(0))
	y := g.Gemm(flat, g.Full(0.25, flat.Dim(1), 4), g.Full(1, 4), graph.GemmAttr{})
	y = g.Add(y, g.Expand(g.ReduceSum(y, true, 1), graph.Batch, 4))
	g.Output("y", y)
}

// A session reports the outputs that the graph declares.
func TestSessionOutputsEqualValueInfo(t *testing.T) {
	for _, block := range blocks(t) {
		g, _ := everyOp(t, block)
		m, err := g.Model()
		if err != nil {
			t.Fatal(err)
		}
		s := orttest.Session(t, m, ort.Options{})
		for i, spec := range s.Outputs() {
			v := g.Outputs[i].Value
			if spec.Name != g.Outputs[i].Name || spec.Type != v.Type || !slices.Equal(spec.Shape, v.Shape) {
				t.Errorf("output %d is %v, want %s: %v%v", i, spec, g.Outputs[i].Name, v.Type, v.Shape)
			}
		}
	}
}

// blocks are the block sizes that this machine can run.
func blocks(t *testing.T) []int {
	t.Helper()
	if b := orttest.BlockSize(t); b > 0 {
		return []int{0, b}
	}
	t.Log("no NCHWc operators on this machine")
	return []int{0}
}
