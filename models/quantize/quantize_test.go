package quantize

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// block returns a network with everything that a residual one has: x float32 [N, 4, 9, 9] to y
// [N, 8]. change may modify the weights [M, ...] and bias of its convolutions.
func block(t *testing.T, change func(name string, weight, bias []float32)) *onnx.ModelProto {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g, err := graph.Build("block", func(g *graph.Graph) {
		conv := func(x *graph.Value, name string, m int, win graph.Window) *graph.Value {
			weight, bias := tensor.New(tensor.Float32, m, x.Shape[1], win.KH, win.KW), tensor.New(tensor.Float32, m)
			for _, d := range [][]float32{weight.Float32(), bias.Float32()} {
				for i := range d {
					d[i] = float32(r.NormFloat64()) / float32(math.Sqrt(float64(weight.Len()/m)))
				}
			}
			if change != nil {
				change(name, weight.Float32(), bias.Float32())
			}
			return g.Conv(x, g.Const(name+".w", func() *tensor.Tensor { return weight }), g.Const(name+".b", func() *tensor.Tensor { return bias }), win, 1)
		}
		x := g.Mul(g.Input("x", tensor.Float32, graph.Batch, 4, 9, 9), g.Float(1)) // as pixels are normalised first
		x = g.Relu(conv(x, "stem", 8, graph.Square(3, 1, 1)))
		x, _ = g.MaxPool(x, graph.Square(3, 2, 1))
		for _, name := range []string{"one", "two"} {
			y := g.Relu(conv(x, name+".1", 8, graph.Square(3, 1, 1)))
			x = g.Relu(g.Add(conv(y, name+".2", 8, graph.Square(1, 1, 0)), x))
		}
		g.Output("y", g.ReduceMean(x, false, 2, 3))
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func input(n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	x := tensor.New(tensor.Float32, n, 4, 9, 9)
	for i := range x.Float32() {
		x.Float32()[i] = float32(r.NormFloat64())
	}
	return x
}

func run(t *testing.T, m *onnx.ModelProto, o ort.Options, x *tensor.Tensor) tensor.Batch {
	t.Helper()
	s := orttest.Session(t, m, o)
	out, err := s.Run(tensor.Batch{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// seen returns the block quantised with the ranges observed on x.
func seen(t *testing.T, m *onnx.ModelProto, x *tensor.Tensor) *onnx.ModelProto {
	t.Helper()
	values, err := Values(m)
	if err != nil {
		t.Fatal(err)
	}
	observed, err := Observe(m, values)
	if err != nil {
		t.Fatal(err)
	}
	ranges := map[string]Range{}
	Add(ranges, values, run(t, observed, ort.Options{}, x))
	q, err := Int8(m, ranges)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// apart returns the largest difference as a fraction of the largest number of want.
func apart(got, want []float32) float64 {
	var worst, largest float64
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
		largest = max(largest, math.Abs(float64(want[i])))
	}
	return worst / largest
}

func TestInt8IsCloseToFloat(t *testing.T) {
	m, x := block(t, nil), input(6)
	q := seen(t, m, x)
	want := run(t, m, ort.Options{}, x)["y"].Float32()
	got := run(t, q, ort.Options{}, x)["y"].Float32()
	if e := apart(got, want); !(e < 0.03) {
		t.Errorf("%.3f of the largest number apart from float32", e)
	}
	// The format is defined by float32 operators between roundings; the runtime replaces them by
	// integer ones.
	plain := run(t, q, ort.Options{Level: ort.None}, x)["y"].Float32()
	if e := apart(got, plain); !(e < 0.004) {
		t.Errorf("%.4f of the largest number apart from what the format means", e)
	}
	if q.Graph.Name != m.Graph.Name || !Is(q) || Is(m) {
		t.Error("the models are not told apart, or have other names")
	}
}

// An embedding does not depend on the rest of the batch, not even in its last bit.
func TestInt8DoesNotDependOnTheBatch(t *testing.T) {
	x := input(6)
	q := seen(t, block(t, nil), x)
	together := run(t, q, ort.Options{}, x)["y"].Float32()
	for i := range 6 {
		one := tensor.Of(slices.Clone(x.Float32()[i*324:(i+1)*324]), 1, 4, 9, 9)
		if alone := run(t, q, ort.Options{}, one)["y"].Float32(); !slices.Equal(alone, together[8*i:8*i+8]) {
			t.Errorf("input %d alone gives %v, in a batch %v", i, alone, together[8*i:8*i+8])
		}
	}
}

// The largest weights, all of one sign, with the largest activations: the sums are exact.
func TestInt8HasRoomForTheLargestSums(t *testing.T) {
	all := func(name string, weight, bias []float32) {
		for i := range weight {
			weight[i] = 1
		}
		clear(bias)
	}
	m := block(t, all)
	x := input(1)
	for i := range x.Float32() {
		x.Float32()[i] = 1
	}
	want := run(t, m, ort.Options{}, x)["y"].Float32()
	if e := apart(run(t, seen(t, m, x), ort.Options{}, x)["y"].Float32(), want); !(e < 1e-3) {
		t.Errorf("%.4f apart", e)
	}
}

// Channels without weights, with only a bias, and with a bias far larger than what the weights
// contribute.
func TestInt8OfOddChannels(t *testing.T) {
	odd := func(name string, weight, bias []float32) {
		per := len(weight) / len(bias)
		clear(weight[:3*per])
		for i := range weight[3*per : 4*per] {
			weight[3*per+i] *= 1e-12
		}
		copy(bias, []float32{0, 0.5, -0.25, 0.75})
	}
	m, x := block(t, odd), input(6)
	want := run(t, m, ort.Options{}, x)["y"].Float32()
	if e := apart(run(t, seen(t, m, x), ort.Options{}, x)["y"].Float32(), want); !(e < 0.03) {
		t.Errorf("%.3f apart", e)
	}
	zeros := tensor.New(tensor.Float32, 2, 4, 9, 9)
	got := run(t, seen(t, block(t, func(_ string, w, b []float32) { clear(w); clear(b) }), zeros), ort.Options{}, zeros)["y"].Float32()
	if !slices.Equal(got, make([]float32, 16)) {
		t.Errorf("zeros of nothing but zeros are %v", got)
	}
}

// The runtime has an integer operator for each of ours, except for the last sum, whose mean is
// taken.
func TestInt8RunsAsIntegers(t *testing.T) {
	x := input(2)
	q := seen(t, block(t, nil), x)
	ran := operators(t, q, x)
	if ran["QLinearConv"] != 5 || ran["QLinearAdd"] != 1 || ran["Add"] != 1 || ran["Conv"]+ran["FusedConv"] != 0 || ran["QuantizeLinear"] != 1 || ran["DequantizeLinear"] != 2 {
		t.Errorf("the runtime ran %v", ran)
	}
}

// operators counts the operators that a run of a model executes, once optimised.
func operators(t *testing.T, m *onnx.ModelProto, x *tensor.Tensor) map[string]int {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "p")
	s := orttest.Session(t, m, ort.Options{ProfilePrefix: prefix})
	if _, err := s.Run(tensor.Batch{"x": x}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	ran := map[string]int{}
	for _, e := range orttest.Profile(t, prefix) {
		if e.Args.Op != "" {
			ran[e.Args.Op]++
		}
	}
	return ran
}

func TestInt8Refuses(t *testing.T) {
	m := block(t, nil)
	values, err := Values(m)
	if err != nil {
		t.Fatal(err)
	}
	ranges := map[string]Range{}
	for _, v := range values {
		ranges[v] = Range{0, 1}
	}
	nan, missing := map[string]Range{}, map[string]Range{}
	for v, r := range ranges {
		nan[v], missing[v] = r, r
	}
	nan[values[0]] = Range{0, float32(math.NaN())}
	delete(missing, values[0])
	for says, r := range map[string]map[string]Range{"not finite": nan, "nobody has seen": missing} {
		if _, err := Int8(m, r); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), values[0]) {
			t.Errorf("want an error that says %q of %s, got %v", says, values[0], err)
		}
	}
	g, err := graph.Build("sum", func(g *graph.Graph) {
		x := g.Input("x", tensor.Float32, 2)
		g.Output("y", g.Add(x, x))
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = g.Model(); err != nil {
		t.Fatal(err)
	}
	if _, err := Values(m); err == nil || !strings.Contains(err.Error(), "no convolution") {
		t.Errorf("a model without convolutions: %v", err)
	}
}

func TestStep(t *testing.T) {
	for _, tt := range []struct {
		r     Range
		scale float32
		zero  uint8
	}{
		{Range{0, 255}, 1, 0}, {Range{-255, 0}, 1, 255}, {Range{-1, 254}, 1, 1}, {Range{2, 510}, 2, 0}, {Range{-51, -10}, 0.2, 255}, {Range{0, 0}, 1, 0},
	} {
		if s, err := tt.r.step(); err != nil || s != (step{tt.scale, tt.zero}) {
			t.Errorf("%v: %v, %v, want %v from %d", tt.r, s, err, tt.scale, tt.zero)
		}
	}
}

func TestConvolution(t *testing.T) {
	q, b, scales := convolution([]float32{64, -32, 0.5, 0.25}, []float32{10, -3}, 0.5)
	if !slices.Equal(q, []int8{64, -32, 64, 32}) || !slices.Equal(scales, []float32{1, 1. / 128}) || !slices.Equal(b, []int32{20, -768}) {
		t.Errorf("weights %v, bias %v, scales %v", q, b, scales)
	}
	if _, b, _ := convolution([]float32{1e-30}, []float32{5}, 1); b[0] != mostBias {
		t.Errorf("a bias that would not fit is %d steps", b[0])
	}
}
