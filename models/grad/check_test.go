package grad

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

type (
	value = *graph.Value
	build func(g *graph.Graph, x []value) value
)

// row is one use of a rule: f is built on inputs, differentiated and compared with finite
// differences. In a graph with channel blocks, inputs marked blocked are in the NCHWc layout.
type row struct {
	key, name string
	in        []input
	f         build
	blocks    []int // block sizes to test besides 0, the portable graph
}

type input struct {
	shape   []int
	domain  func(*rand.Rand) float64
	blocked bool
}

// signed draws values away from zero, where ReLU has a kink and 1/x a pole.
func signed(r *rand.Rand) float64 {
	x := positive(r)
	if r.IntN(2) == 0 {
		return -x
	}
	return x
}

func positive(r *rand.Rand) float64 { return 0.25 + r.Float64() }

// in is an input of a shape with values away from zero.
func in(shape ...int) input { return input{shape: shape, domain: signed} }

func above(shape ...int) input { return input{shape: shape, domain: positive} }

// inBlocks is an input in the NCHWc layout wherever the graph has blocks.
func inBlocks(shape ...int) input { return input{shape: shape, domain: signed, blocked: true} }

// problem is a row built twice: as y alone, and with the gradient of sum(y*dy).
type problem struct {
	row
	forward, backward *graph.Graph         // backward outputs y, too
	inputs            map[string][]float64 // x0, x1, ... and dy
}

// kind says how a graph is built.
type kind struct {
	block    int
	standard bool
	device   tensor.Device
	custom   bool
}

func (r row) problem(t *testing.T, k kind) *problem {
	t.Helper()
	p := &problem{row: r, inputs: map[string][]float64{}}
	rng := rand.New(rand.NewPCG(7, uint64(len(r.name))))
	var dy []int
	p.forward = r.graph(t, k, func(g *graph.Graph, x []value, y value) {
		g.Output("y", g.ToPlain(y))
		dy = y.Shape
	})
	p.backward = r.graph(t, k, func(g *graph.Graph, x []value, y value) {
		g.Output("y", g.ToPlain(y))
		seed := g.Input("dy", tensor.Float32, dy...)
		switch y.Layout {
		case tensor.NCHWc:
			seed = g.ToBlocked(seed)
		case tensor.NHWC:
			seed = g.ToNHWC(seed)
		}
		for i, dx := range Gradients(g, y, seed, x) {
			if dx == nil {
				t.Fatalf("no gradient of input %d", i)
			}
			if dx.Layout != x[i].Layout || !slices.Equal(dx.Shape, x[i].Shape) {
				t.Fatalf("gradient of input %d is %v%v, the input %v%v", i, dx.Layout, dx.Shape, x[i].Layout, x[i].Shape)
			}
			g.Output(fmt.Sprintf("d%d", i), g.ToPlain(dx))
		}
	})
	for i, in := range r.in {
		p.inputs[fmt.Sprintf("x%d", i)] = draw(rng, in.domain, tensor.Elements(in.shape))
	}
	p.inputs["dy"] = draw(rng, signed, tensor.Elements(dy))
	return p
}

func (r row) graph(t *testing.T, k kind, finish func(g *graph.Graph, x []value, y value)) *graph.Graph {
	t.Helper()
	g, err := graph.Build(r.name, func(g *graph.Graph) {
		g.Block, g.Standard, g.Device, g.CustomOps = k.block, k.standard, k.device, k.custom
		x := make([]value, len(r.in))
		for i, in := range r.in {
			x[i] = g.Input(fmt.Sprintf("x%d", i), tensor.Float32, in.shape...)
			if in.blocked && k.block > 0 {
				x[i] = g.ToBlocked(x[i])
			}
		}
		finish(g, x, r.f(g, x))
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// draw returns n values that float32 represents exactly.
func draw(rng *rand.Rand, from func(*rand.Rand) float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(float32(from(rng)))
	}
	return out
}

func (p *problem) gradients(t *testing.T) map[string][]float64 {
	t.Helper()
	out, err := reference.Run(p.backward, p.inputs)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// loss is sum(y*dy) with x<i> moved by h*u.
func (p *problem) loss(t *testing.T, i int, u []float64, h float64) float64 {
	t.Helper()
	name, inputs := fmt.Sprintf("x%d", i), map[string][]float64{}
	for k, v := range p.inputs {
		inputs[k] = v
	}
	moved := slices.Clone(p.inputs[name])
	for j := range moved {
		moved[j] += h * u[j]
	}
	inputs[name] = moved
	out, err := reference.Run(p.forward, inputs)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for j, y := range out["y"] {
		sum += y * p.inputs["dy"][j]
	}
	return sum
}

// The central difference with this step has an error of about 1e-10 of the third derivative and
// 1e-11 of the loss. Rules have float32 factors, each with an error of 6e-8: hence the bound.
const (
	step      = 1e-5
	tolerance = 1e-6
)

// mismatches compares the gradient with respect to each input with central differences in float64,
// along one random direction and a few coordinates, and describes where they disagree.
func (p *problem) mismatches(t *testing.T, grads map[string][]float64) (found []string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range p.in {
		g := grads[fmt.Sprintf("d%d", i)]
		for k, u := range directions(rng, len(g)) {
			want := (p.loss(t, i, u, step) - p.loss(t, i, u, -step)) / (2 * step)
			got, scale := dot(g, u)
			if scale += 1e-3 * largest(g); !(math.Abs(got-want) <= tolerance*scale) {
				found = append(found, fmt.Sprintf("input %d, direction %d: the gradient gives %.9g, differences %.9g", i, k, got, want))
			}
		}
	}
	return found
}

// directions are one random vector of n elements and up to three unit vectors.
func directions(rng *rand.Rand, n int) [][]float64 {
	out := [][]float64{draw(rng, (*rand.Rand).NormFloat64, n)}
	for range min(3, n) {
		e := make([]float64, n)
		e[rng.IntN(n)] = 1
		out = append(out, e)
	}
	return out
}

// dot is the sum of a*b, and that of the absolute values of its terms.
func dot(a, b []float64) (sum, scale float64) {
	for i := range a {
		sum += a[i] * b[i]
		scale += math.Abs(a[i] * b[i])
	}
	return sum, scale
}

// checkRuntime runs the gradient graph in ONNX Runtime and returns the largest
// error of an output relative to its largest element.
func (p *problem) checkRuntime(t *testing.T, want map[string][]float64) float64 {
	t.Helper()
	worst := 0.0
	for name, got := range orttest.Run(t, p.backward, p.inputs) {
		e := relative(got, want[name])
		if !(e <= 1e-5) {
			t.Errorf("%s: ONNX Runtime is off by %.2g of the largest element", name, e)
		}
		worst = max(worst, e)
	}
	return worst
}

// relative is the largest difference over the largest element wanted; NaN if got or want contains
// one.
func relative(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.NaN()
	}
	worst := 0.0
	for i := range want {
		if worst = max(worst, math.Abs(got[i]-want[i])); math.IsNaN(worst) {
			return worst
		}
	}
	return worst / largest(want)
}

func largest(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = max(m, math.Abs(v))
	}
	return m
}
