package grad

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

func vector(g *graph.Graph, name string) value { return g.Input(name, tensor.Float32, 2) }

// evaluate runs what f builds on inputs a and b and returns the output y.
func evaluate(t *testing.T, f func(g *graph.Graph, a, b value) value) []float64 {
	t.Helper()
	g, err := graph.Build("driver", func(g *graph.Graph) { g.Output("y", f(g, vector(g, "a"), vector(g, "b"))) })
	if err != nil {
		t.Fatal(err)
	}
	out, err := reference.Run(g, map[string][]float64{"a": {2, 3}, "b": {5, 7}})
	if err != nil {
		t.Fatal(err)
	}
	return out["y"]
}

// The error for a missing rule names the node and the line that built it, even if a function of
// this package built the layer.
func TestMissingRuleNamesOperatorNodeAndLine(t *testing.T) {
	var line int
	_, err := graph.Build("missing", func(g *graph.Graph) {
		x := vector(g, "a")
		var y value
		g.Prefix("head", func() {
			_, _, line, _ = runtime.Caller(0)
			y = g.Composite("Mystery", nil, []value{x}, func(func(string, value)) []value { return []value{g.Relu(x)} })[0]
		})
		Gradients(g, y, g.Full(1, 2), []value{x})
	})
	want := fmt.Sprintf("grad_test.go:%d: cannot build Mystery (node head/mystery_1): no gradient rule for vicreg.Mystery", line+1)
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestWrongLayerNamesTheLineThatAskedForIt(t *testing.T) {
	var line int
	_, err := graph.Build("wrong", func(g *graph.Graph) {
		x, w := g.Input("x", tensor.Float32, 1, 3, 4, 4), g.Input("w", tensor.Float32, 2, 5, 3, 3)
		_, _, line, _ = runtime.Caller(0)
		Conv(g, x, w, graph.Square(3, 1, 1))
	})
	if want := fmt.Sprintf("grad_test.go:%d: cannot build Conv", line+1); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// Operators that no gradient passes through need no rule.
func TestOperatorsOffThePathNeedNoRule(t *testing.T) {
	got := evaluate(t, func(g *graph.Graph, a, b value) value {
		weight := g.Exp(g.Abs(b)) // does not depend on a
		y := g.Mul(a, weight)
		g.Abs(y) // nothing depends on it
		return g.Div(Gradients(g, y, g.Full(1, 2), []value{a})[0], weight)
	})
	if !slices.Equal(got, []float64{1, 1}) {
		t.Errorf("got %v", got)
	}
}

func TestNoDependenceGivesNil(t *testing.T) {
	g := graph.New("nil")
	a, b := vector(g, "a"), vector(g, "b")
	grads := Gradients(g, g.Relu(a), g.Full(1, 2), []value{b, a})
	if grads[0] != nil || grads[1] == nil {
		t.Errorf("got %v", grads)
	}
}

// The gradients of a value from several users add up, and the value may be an intermediate result.
func TestGradientsAccumulate(t *testing.T) {
	got := evaluate(t, func(g *graph.Graph, a, b value) value {
		m := g.Mul(a, b)
		y := g.Add(g.Add(g.Mul(m, m), m), g.Mul(m, b)) // 2m + 1 + b
		return Gradients(g, y, g.Full(1, 2), []value{m})[0]
	})
	if want := []float64{2*10 + 1 + 5, 2*21 + 1 + 7}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The gradient of weights shared by two batches is one product over the rows of both, unless the
// rows are larger than the product.
func TestGradientOfSharedWeightsIsOneProduct(t *testing.T) {
	for _, c := range []struct {
		batch int
		want  string
	}{{2, "Gemm"}, {100, "Add"}} {
		g := graph.New("shared")
		w := g.Input("w", tensor.Float32, 6, 8)
		layer := func(x string) value {
			return g.Gemm(g.Input(x, tensor.Float32, c.batch, 8), w, nil, graph.GemmAttr{TransB: true})
		}
		y := g.Add(layer("x1"), layer("x2"))
		if dw := Gradients(g, y, g.Full(1, y.Shape...), []value{w})[0]; dw.Node.Op != c.want {
			t.Errorf("batches of %d: the gradient is computed by %s, want %s", c.batch, dw.Node.Op, c.want)
		}
	}
}

func TestGradientOfTheValueItselfIsTheSeed(t *testing.T) {
	got := evaluate(t, func(g *graph.Graph, a, b value) value { return Gradients(g, a, b, []value{a})[0] })
	if !slices.Equal(got, []float64{5, 7}) {
		t.Errorf("got %v", got)
	}
}

// The graph of a gradient can be differentiated once more: x^3, 3x^2, 6x.
func TestGradientOfAGradient(t *testing.T) {
	got := evaluate(t, func(g *graph.Graph, a, _ value) value {
		first := Gradients(g, g.Mul(a, g.Mul(a, a)), g.Full(1, 2), []value{a})[0]
		return Gradients(g, first, g.Full(1, 2), []value{a})[0]
	})
	if !slices.Equal(got, []float64{12, 18}) {
		t.Errorf("got %v", got)
	}
}

// Gradients that were not requested add nothing to the model.
func TestGradientsLeaveOutWhatNobodyNeeds(t *testing.T) {
	g := graph.New("needed")
	x, w := g.Input("x", tensor.Float32, 2, 3, 5, 4), g.Input("w", tensor.Float32, 4, 3, 3, 3)
	y := Conv(g, x, w, graph.Square(3, 1, 1))
	before := len(g.Nodes)
	g.Output("dw", Gradients(g, y, g.Full(1, y.Shape...), []value{w})[0])
	for _, n := range g.Nodes[before:] {
		if n.Op == "Conv" || n.Op == "ConvTranspose" {
			t.Errorf("the gradient of the input is computed by %s", n.Name)
		}
	}
}

// The nodes of the backward pass are named after the node they belong to.
func TestGradientNodesAreNamed(t *testing.T) {
	g := graph.New("names")
	a, b := vector(g, "a"), vector(g, "b")
	g.Prefix("head", func() { a = g.Mul(a, b) })
	d := Gradients(g, a, g.Full(1, 2), []value{b})[0]
	if d.Name != "grad/head/mul_1/mul_1" {
		t.Errorf("named %s", d.Name)
	}
}

// The result and the statistics match the formula, and no gradient flows through the statistics.
func TestBatchNormByFormula(t *testing.T) {
	for _, block := range []int{0, 8} {
		g, err := graph.Build("statistics", func(g *graph.Graph) {
			g.Block = block
			x := g.Input("x", tensor.Float32, 3, 8, 2, 2)
			if block > 0 {
				x = g.ToBlocked(x)
			}
			y, mean, variance := BatchNorm(g, x, g.Full(2, 8), g.Full(0.5, 8), BatchNormOptions{Eps: 0.25})
			if d := Gradients(g, g.Add(mean, variance), g.Full(1, 8), []value{x}); d[0] != nil {
				t.Errorf("block %d: a gradient flows through the statistics", block)
			}
			g.Output("y", g.ToPlain(y))
			g.Output("mean", mean)
			g.Output("variance", variance)
		})
		if err != nil {
			t.Fatal(err)
		}
		x := draw(rand.New(rand.NewPCG(1, 2)), signed, 3*8*4)
		out, err := reference.Run(g, map[string][]float64{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		mean, variance := statistics(x, 3, 8, 4)
		if e := max(relative(out["mean"], mean), relative(out["variance"], variance)); !(e <= 1e-6) {
			t.Errorf("block %d: statistics are off by %.1e", block, e)
		}
		for i := range x {
			c := i / 4 % 8
			x[i] = 2*(x[i]-mean[c])/math.Sqrt(variance[c]+0.25) + 0.5
		}
		if e := relative(out["y"], x); !(e <= 1e-6) {
			t.Errorf("block %d: the result is off by %.1e", block, e)
		}
	}
}

// statistics of x [n, c, l] per channel: mean and biased variance.
func statistics(x []float64, n, c, l int) (mean, variance []float64) {
	mean, variance = make([]float64, c), make([]float64, c)
	for i, v := range x {
		mean[i/l%c] += v / float64(n*l)
	}
	for i, v := range x {
		d := v - mean[i/l%c]
		variance[i/l%c] += d * d / float64(n*l)
	}
	return mean, variance
}

// Rounding cannot make the variance of a constant channel negative: its square root would be NaN.
func TestBatchNormOfAConstantChannel(t *testing.T) {
	g, err := graph.Build("constant", func(g *graph.Graph) {
		x := g.Input("x", tensor.Float32, 2, 3, 50, 7)
		_, _, variance := BatchNorm(g, x, g.Full(1, 3), g.Full(0, 3), BatchNormOptions{Eps: 1e-5})
		g.Output("variance", variance)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []float64{12.345, 0.1, -77.7} {
		for i, v := range orttest.Run(t, g, map[string][]float64{"x": slices.Repeat([]float64{c}, 2*3*50*7)})["variance"] {
			if !(v >= 0 && v <= 1e-5*c*c) {
				t.Errorf("channel %d of %v has variance %v", i, c, v)
			}
		}
	}
}
