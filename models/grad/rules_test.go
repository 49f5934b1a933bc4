package grad

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// rows hold at least one use of every rule.
var rows = slices.Concat(elementwiseRows(), linearRows(), movementRows(), convRows(), batchNormRows(), convNormRows(), poolRows())

func elementwiseRows() (out []row) {
	for _, op := range []struct {
		key string
		f   func(g *graph.Graph, a, b value) value
	}{{"Add", (*graph.Graph).Add}, {"Sub", (*graph.Graph).Sub}, {"Mul", (*graph.Graph).Mul}, {"Div", (*graph.Graph).Div}} {
		f := func(g *graph.Graph, x []value) value { return op.f(g, x[0], x[1]) }
		out = append(out,
			row{key: op.key, name: "same", in: []input{in(2, 3), in(2, 3)}, f: f},
			row{key: op.key, name: "second broadcast", in: []input{in(2, 3, 4), in(3, 1)}, f: f},
			row{key: op.key, name: "first broadcast", in: []input{in(4), in(2, 3, 4)}, f: f},
			row{key: op.key, name: "both broadcast", in: []input{in(2, 1, 4), in(3, 1)}, f: f},
			row{key: op.key, name: "scalar", in: []input{in(), in(2, 3)}, f: f},
			row{key: op.key, name: "two scalars", in: []input{in(1), in()}, f: f},
			row{key: op.key, name: "one value twice", in: []input{in(2, 3)}, f: func(g *graph.Graph, x []value) value {
				return op.f(g, x[0], g.Mul(x[0], x[0]))
			}},
			row{key: op.key, name: "in blocks", in: []input{inBlocks(2, 16, 2, 3), inBlocks(2, 16, 2, 3)}, f: f, blocks: []int{8, 16}})
	}
	for _, op := range []struct {
		key string
		in  input
		f   func(g *graph.Graph, x value) value
	}{
		{"Neg", in(2, 3), (*graph.Graph).Neg},
		{"Sqrt", above(2, 3), (*graph.Graph).Sqrt},
		{"Reciprocal", in(2, 3), (*graph.Graph).Reciprocal},
		{"Relu", in(4, 5), (*graph.Graph).Relu},
		{"Relu", inBlocks(2, 16, 2, 3), (*graph.Graph).Relu},
		{"Gelu", in(4, 5), (*graph.Graph).Gelu},
		{"Gelu", inBlocks(2, 16, 2, 3), (*graph.Graph).Gelu},
		{"Identity", in(2, 3), (*graph.Graph).Identity},
		{"Cast", in(2, 3), func(g *graph.Graph, x value) value {
			wide := g.Cast(x, tensor.Float64)
			return g.Cast(g.Mul(wide, wide), tensor.Float32)
		}},
	} {
		r := row{key: op.key, name: fmt.Sprint(op.in.shape), in: []input{op.in}, f: func(g *graph.Graph, x []value) value { return op.f(g, x[0]) }}
		if op.in.blocked {
			r.blocks = []int{8, 16}
		}
		out = append(out, r)
	}
	return out
}

func linearRows() (out []row) {
	for _, s := range [][2][]int{
		{{2, 3}, {3, 4}}, {{5, 2, 3}, {3, 4}}, {{2, 3}, {5, 3, 4}}, {{5, 1, 2, 3}, {2, 3, 4}}, {{4, 1, 3}, {4, 3, 1}},
	} {
		out = append(out, row{key: "MatMul", name: fmt.Sprint(s), in: []input{in(s[0]...), in(s[1]...)},
			f: func(g *graph.Graph, x []value) value { return g.MatMul(x[0], x[1]) }})
		for i := range 4 {
			ta, tb := i&1 == 1, i&2 == 2
			a, b := swapped(s[0], ta), swapped(s[1], tb)
			out = append(out, row{key: "com.microsoft.FusedMatMul", name: fmt.Sprint(a, b, ta, tb), in: []input{in(a...), in(b...)},
				f: func(g *graph.Graph, x []value) value { return g.FusedMatMul(x[0], x[1], ta, tb, 0.75) }})
		}
	}
	for i, c := range [][]int{nil, {4}, {2, 4}, {2, 1}, {1, 4}, {}, {1}, {2, 4}} {
		attr := graph.GemmAttr{TransA: i&1 == 1, TransB: i&2 == 2, Alpha: float32(i%3) * 0.75} // an Alpha of 0 means 1
		ins := []input{in(swapped([]int{2, 3}, attr.TransA)...), in(swapped([]int{3, 4}, attr.TransB)...)}
		if c != nil {
			ins = append(ins, in(c...))
		}
		out = append(out, row{key: "Gemm", name: fmt.Sprint(c, attr), in: ins, f: func(g *graph.Graph, x []value) value {
			return g.Gemm(x[0], x[1], append(x, nil)[2], attr)
		}})
	}
	out = append(out, row{key: "Gemm", name: "shared", in: []input{in(1, 4), in(2, 4), in(6, 4)}, f: func(g *graph.Graph, x []value) value {
		attr := graph.GemmAttr{TransB: true, Alpha: 0.75}
		return g.Add(g.Gemm(x[0], x[2], nil, attr), g.Gemm(x[1], x[2], nil, attr))
	}})
	for _, op := range []struct {
		key string
		f   func(g *graph.Graph, x value, keep bool, axes ...int) value
	}{{"ReduceSum", (*graph.Graph).ReduceSum}, {"ReduceMean", (*graph.Graph).ReduceMean}, {"ReduceSumSquare", (*graph.Graph).ReduceSumSquare}} {
		for _, axes := range [][]int{{0}, {2, 0}, {1}, {0, 1, 2}} {
			for _, keep := range []bool{true, false} {
				out = append(out, row{key: op.key, name: fmt.Sprint(axes, keep), in: []input{in(2, 3, 4)},
					f: func(g *graph.Graph, x []value) value { return op.f(g, x[0], keep, axes...) }})
			}
		}
	}
	return out
}

func swapped(shape []int, swap bool) []int {
	s := slices.Clone(shape)
	if swap {
		slices.Reverse(s[len(s)-2:])
	}
	return s
}

func movementRows() []row {
	return []row{
		{key: "Reshape", name: "fold", in: []input{in(2, 3, 4)}, f: func(g *graph.Graph, x []value) value { return g.Reshape(x[0], 6, -1) }},
		{key: "Reshape", name: "to a scalar", in: []input{in(1, 1)}, f: func(g *graph.Graph, x []value) value { return g.Reshape(x[0]) }},
		{key: "Transpose", name: "cycle", in: []input{in(2, 3, 4)}, f: func(g *graph.Graph, x []value) value { return g.Transpose(x[0], 1, 2, 0) }},
		{key: "Split", name: "both", in: []input{in(2, 6)}, f: func(g *graph.Graph, x []value) value {
			parts := g.Split(x[0], 1, 2)
			return g.Add(g.Mul(parts[0], parts[1]), parts[1])
		}},
		{key: "Split", name: "one", in: []input{in(4, 3)}, f: func(g *graph.Graph, x []value) value { return g.Split(x[0], 0, 2)[1] }},
		{key: "vicreg.collectives.AllGather", name: "alone", in: []input{in(2, 3)}, f: func(g *graph.Graph, x []value) value {
			return g.Mul(g.AllGather(graph.Group{Size: 1}, x[0])[0], x[0])
		}},
		{key: "vicreg.collectives.AllGather", name: "two", in: []input{in(2, 3), in(2, 3)}, f: func(g *graph.Graph, x []value) value {
			all := g.AllGather(graph.Group{Size: 1}, x...)
			return g.Mul(all[0], all[1])
		}},
		{key: "vicreg.collectives.AllGather", name: "one of two", in: []input{in(2, 3), in(2, 3)}, f: func(g *graph.Graph, x []value) value {
			return g.Mul(g.AllGather(graph.Group{Size: 1}, x...)[1], x[0])
		}},
		{key: "Transpose", name: "swap", in: []input{in(2, 3)}, f: func(g *graph.Graph, x []value) value { return g.Transpose(x[0], 1, 0) }},
	}
}

// convRows: the kernels, strides and sizes of the networks, windows that differ on every side, and
// the code paths of a graph with blocks.
func convRows() (out []row) {
	add := func(x input, m int, win graph.Window, blocks ...int) {
		w := in(m, x.shape[1], win.KH, win.KW)
		out = append(out, row{key: "vicreg.Conv", name: fmt.Sprint(x.shape, m, win, x.blocked), in: []input{x, w}, blocks: blocks,
			f: func(g *graph.Graph, x []value) value { return Conv(g, x[0], x[1], win) }})
	}
	for _, c := range []struct{ k, stride, h, w int }{
		{3, 1, 5, 6}, {3, 2, 8, 6}, {3, 2, 7, 5}, {3, 2, 8, 5}, {3, 2, 7, 6}, {1, 1, 4, 5}, {1, 2, 6, 4}, {1, 2, 5, 7}, {1, 2, 6, 5},
		{7, 2, 10, 8}, {7, 2, 9, 11}, {5, 1, 4, 6}, {2, 2, 5, 4}, {3, 1, 1, 1}, {3, 2, 2, 1}, {3, 3, 7, 8},
	} {
		add(in(2, 3, c.h, c.w), 4, graph.Square(c.k, c.stride, c.k/2))
	}
	add(in(2, 3, 5, 6), 4, graph.Square(3, 1, 0))
	add(in(2, 3, 6, 7), 4, graph.Window{KH: 2, KW: 3, Stride: 1, Pads: [4]int{1, 0, 0, 2}})
	add(in(2, 3, 6, 7), 4, graph.Window{KH: 3, KW: 2, Stride: 2, Pads: [4]int{0, 1, 2, 0}})
	add(in(1, 1, 4, 5), 1, graph.Square(3, 1, 1))
	add(in(2, 2, 3, 2), 40, graph.Square(3, 1, 1)) // the other operand orders of addProduct
	add(in(2, 2, 3, 2), 256, graph.Square(3, 2, 1))

	for _, c := range []struct{ channels, m, k, stride, h, w int }{
		{16, 32, 3, 1, 4, 3}, {16, 16, 3, 2, 5, 4}, {32, 16, 1, 1, 3, 2}, {16, 32, 1, 2, 4, 3}, {16, 16, 7, 2, 6, 5},
		{16, 6, 3, 1, 3, 4}, {16, 6, 3, 2, 4, 3}, // results that cannot be blocked
	} {
		win := graph.Square(c.k, c.stride, c.k/2)
		add(inBlocks(2, c.channels, c.h, c.w), c.m, win, 8, 16)
		add(in(2, c.channels, c.h, c.w), c.m, win, 8, 16)
	}
	for _, c := range []struct{ channels, m, k, stride int }{
		{3, 16, 3, 1}, {3, 16, 7, 2}, {5, 16, 1, 1}, {12, 16, 3, 1}, {24, 16, 3, 1}, // fewer channels than a block, or not a multiple of it
	} {
		add(in(2, c.channels, 5, 4), c.m, graph.Square(c.k, c.stride, c.k/2), 8, 16)
	}
	add(inBlocks(2, 16, 5, 6), 16, graph.Window{KH: 2, KW: 3, Stride: 1, Pads: [4]int{1, 0, 0, 2}}, 8, 16)
	add(inBlocks(2, 16, 4, 5), 16, graph.Square(2, 1, 3), 8, 16) // pads above the kernel

	for _, c := range []struct{ n, channels, m, k, stride, h, w int }{ // enough images for blocks of them
		{16, 16, 32, 3, 1, 3, 4}, {12, 32, 16, 3, 1, 4, 3}, {8, 16, 16, 3, 2, 4, 6}, {32, 32, 16, 3, 2, 5, 3},
		{16, 32, 32, 1, 1, 2, 3}, {8, 16, 32, 1, 2, 4, 3}, {20, 16, 16, 1, 1, 3, 2}, {12, 16, 16, 2, 2, 4, 4},
		{16, 16, 16, 3, 1, 9, 8}, {16, 16, 16, 3, 2, 18, 16}, // more pixels than images are interleaved for
	} {
		add(inBlocks(c.n, c.channels, c.h, c.w), c.m, graph.Square(c.k, c.stride, (c.k-1)/2), 8, 16)
	}
	add(in(16, 3, 4, 5), 16, graph.Square(3, 1, 1), 8, 16)
	add(inBlocks(2, 128, 4, 3), 16, graph.Square(3, 1, 1), 8, 16) // Winograd, forwards or backwards
	add(inBlocks(16, 16, 2, 3), 128, graph.Square(3, 1, 1), 8, 16)
	add(inBlocks(1, 128, 10, 8), 16, graph.Square(3, 1, 1), 8, 16)
	add(in(12, 3, 8, 6), 16, graph.Square(7, 2, 3), 8, 16)
	add(inBlocks(16, 16, 5, 4), 16, graph.Window{KH: 2, KW: 3, Stride: 1, Pads: [4]int{1, 0, 0, 2}}, 8, 16)
	return out
}

func batchNormRows() (out []row) {
	for _, shape := range [][]int{{6, 5}, {3, 5, 4, 2}, {2, 16, 3, 4}, {2, 32, 2, 3}, {8, 3, 1, 1}, {1, 16, 34, 33}} { // the last one is summed in parts
		for i := range 4 {
			if shape[0] == 1 && i > 0 { // large, so one variant is enough
				continue
			}
			relu, residual := i&1 == 1, i&2 == 2
			x := input{shape: shape, domain: signed, blocked: shape[1]%16 == 0}
			r := row{key: "vicreg.BatchNorm", name: fmt.Sprint(shape, "relu=", relu, " residual=", residual),
				in: []input{x, in(shape[1]), in(shape[1])}}
			if residual {
				r.in = append(r.in, x)
			}
			if x.blocked {
				r.blocks = []int{8, 16}
			}
			r.f = func(g *graph.Graph, x []value) value {
				o := BatchNormOptions{Eps: 1e-5, Relu: relu}
				if residual {
					o.Residual = x[3]
				}
				y, _, _ := BatchNorm(g, x[0], x[1], x[2], o)
				return y
			}
			out = append(out, r)
		}
	}
	return out
}

// convNormRow is a ConvNorm, with or without what can be fused with it.
func convNormRow(x input, m int, win graph.Window, relu, residual bool, blocks ...int) row {
	r := row{key: "vicreg.ConvNorm", name: fmt.Sprint(x.shape, m, win, "relu=", relu, " residual=", residual), blocks: blocks,
		in: []input{x, in(m, x.shape[1], win.KH, win.KW), in(m), in(m)}}
	if residual {
		oh, ow := win.Out(x.shape[2], x.shape[3])
		r.in = append(r.in, input{shape: []int{x.shape[0], m, oh, ow}, domain: signed, blocked: m%16 == 0})
	}
	r.f = func(g *graph.Graph, x []value) value {
		o := BatchNormOptions{Eps: 1e-5, Relu: relu}
		if residual {
			o.Residual = x[4]
		}
		y, _, _ := ConvNorm(g, x[0], x[1], win, x[2], x[3], o)
		return y
	}
	return r
}

// convNormRows covers every way of fusing, with batches below, at and above a block.
func convNormRows() (out []row) {
	add := func(x input, m int, win graph.Window, relu, residual bool, blocks ...int) {
		out = append(out, convNormRow(x, m, win, relu, residual, blocks...))
	}
	for i := range 4 {
		relu, residual := i&1 == 1, i&2 == 2
		add(in(3, 2, 5, 4), 3, graph.Square(3, 1, 1), relu, residual)
		add(in(3, 2, 5, 4), 3, graph.Square(1, 2, 0), relu, residual)
		add(inBlocks(3, 16, 4, 3), 32, graph.Square(3, 2, 1), relu, residual, 8, 16)
		add(inBlocks(16, 16, 3, 4), 16, graph.Square(3, 1, 1), relu, residual, 8, 16)
		add(inBlocks(20, 16, 3, 2), 32, graph.Square(1, 2, 0), relu, residual, 8, 16)
		add(in(16, 3, 4, 3), 16, graph.Square(3, 1, 1), relu, residual, 8, 16)
		add(inBlocks(2, 16, 3, 3), 6, graph.Square(3, 1, 1), relu, residual, 8, 16) // a result that cannot be blocked
	}
	return out
}

func poolRows() []row {
	out := []row{
		{key: "vicreg.GlobalAveragePool", name: "plain", in: []input{in(2, 3, 4, 5)}, f: average},
		{key: "vicreg.GlobalAveragePool", name: "in blocks", in: []input{inBlocks(2, 32, 2, 3)}, f: average, blocks: []int{8, 16}},
	}
	for _, c := range []struct {
		x   input
		win graph.Window
	}{
		{in(2, 3, 8, 6), graph.Square(3, 2, 1)}, {in(2, 3, 7, 5), graph.Square(3, 2, 1)}, {in(2, 3, 6, 5), graph.Square(2, 2, 0)},
		{in(1, 2, 5, 6), graph.Square(3, 1, 1)}, {in(1, 2, 5, 6), graph.Window{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 0, 0, 2}}},
		{inBlocks(2, 16, 5, 4), graph.Square(3, 2, 1)},
	} {
		r := row{key: "vicreg.MaxPool", name: fmt.Sprint(c.x.shape, c.win), in: []input{c.x},
			f: func(g *graph.Graph, x []value) value { return MaxPool(g, x[0], c.win) }}
		if c.x.blocked {
			r.blocks = []int{8, 16}
		}
		out = append(out, r)
	}
	return out
}

func average(g *graph.Graph, x []value) value { return GlobalAveragePool(g, x[0]) }

// Every rule, differentiated in float64, is compared with finite differences and with the graph
// without blocks, then run in float32 by ONNX Runtime, with blocks of the size that this machine
// has.
func TestRules(t *testing.T) {
	here, worst := orttest.BlockSize(t), map[string]float64{}
	for _, r := range rows {
		var portable map[string][]float64
		for _, block := range append([]int{0}, r.blocks...) {
			t.Run(fmt.Sprintf("%s/%s/block%d", r.key, strings.ReplaceAll(r.name, " ", "_"), block), func(t *testing.T) {
				p := r.problem(t, kind{block: block})
				if !slices.ContainsFunc(p.backward.Nodes, func(n *graph.Node) bool { return n.Key() == r.key }) {
					t.Fatalf("the graph has no node %s:\n%s", r.key, p.backward)
				}
				grads := p.gradients(t)
				for _, m := range p.mismatches(t, grads) {
					t.Error(m)
				}
				if block == 0 {
					portable = grads
				}
				for name, want := range portable {
					if e := relative(grads[name], want); !(e <= 1e-12) {
						t.Errorf("%s differs from the graph without blocks by %.1e", name, e)
					}
				}
				if block == 0 || block == here {
					worst[r.key] = max(worst[r.key], p.checkRuntime(t, grads))
				}
			})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(worst)) {
		t.Logf("%-26s largest error in float32 %.1e", key, worst[key])
	}
}

// A graph of standard operators computes the same, and ONNX's reference implementation accepts it
// with the shapes it declares.
func TestRulesInStandardOperators(t *testing.T) {
	var models []*onnx.ModelProto
	for i, r := range rows {
		if strings.HasPrefix(r.key, graph.DomainCollectives) {
			continue // no standard operator exchanges tensors
		}
		p, standard := r.problem(t, kind{}), r.problem(t, kind{standard: true})
		want, got := p.gradients(t), standard.gradients(t)
		for name := range want {
			if e := relative(got[name], want[name]); !(e <= 1e-12) {
				t.Errorf("%s %s: %s differs by %.1e", r.key, r.name, name, e)
			}
		}
		m, err := standard.backward.Model()
		if err != nil {
			t.Fatal(err)
		}
		m.Graph.Name = fmt.Sprintf("%s-%d", r.key, i)
		models = append(models, m)
	}
	lines, _ := orttest.Reference(t, models...)
	for _, line := range lines {
		if !strings.Contains(line, ": ok, ") || !strings.HasSuffix(line, "as inferred") {
			t.Error(line)
		}
	}
}

func TestEveryRuleHasARow(t *testing.T) {
	have := map[string]bool{}
	for _, r := range rows {
		have[r.key] = true
	}
	for key := range rules {
		if !have[key] {
			t.Errorf("rule %s has no row in rules_test.go", key)
		}
	}
}

// The check detects a gradient that is wrong in one element.
func TestDifferencesFindAWrongGradient(t *testing.T) {
	p := row{key: "Mul", name: "wrong", in: []input{in(2, 3), in(2, 3)}, f: func(g *graph.Graph, x []value) value {
		return g.Mul(x[0], x[1])
	}}.problem(t, kind{})
	grads := p.gradients(t)
	grads["d1"][4] *= 1 + 1e-4
	if found := p.mismatches(t, grads); len(found) != 1 || !strings.HasPrefix(found[0], "input 1, direction 0") {
		t.Errorf("an error of 1e-4 in one element gives %q", found)
	}
}

// A gradient of weights in the NCHWc layout, with images in blocks, uses no matrix product.
func TestConvWeightGradientInBlocks(t *testing.T) {
	for _, c := range []struct {
		n       int
		win     graph.Window
		product bool
	}{
		{16, graph.Square(3, 1, 1), false}, {12, graph.Square(1, 2, 0), false}, {32, graph.Square(3, 2, 1), false},
		{7, graph.Square(3, 1, 1), true}, {16, graph.Square(2, 2, 0), true}, // too few images; a row that meets no tap
	} {
		p := row{name: "blocks", in: []input{inBlocks(c.n, 16, 5, 5), in(16, 16, c.win.KH, c.win.KW)}, f: func(g *graph.Graph, x []value) value {
			return Conv(g, x[0], x[1], c.win)
		}}.problem(t, kind{block: 16})
		if got := strings.Contains(p.backward.String(), " = com.microsoft.FusedMatMul("); got != c.product {
			t.Errorf("%d images, %v: a matrix product is %v:\n%s", c.n, c.win, got, p.backward)
		}
	}
}

// The column matrix of a large convolution is built in chunks, the last one smaller. The loss is
// linear in the weights, so a difference over a large step is exact.
func TestConvWeightGradientInChunks(t *testing.T) {
	p := row{name: "chunks", in: []input{in(10, 2, 100, 100), in(2, 2, 7, 7)}, f: func(g *graph.Graph, x []value) value {
		return Conv(g, x[0], x[1], graph.Square(7, 1, 3))
	}}.problem(t, kind{})
	if strings.Count(p.backward.String(), " = com.microsoft.FusedMatMul(") < 2 {
		t.Errorf("the images are not cut into chunks:\n%s", p.backward)
	}
	g := orttest.Run(t, p.backward, p.inputs)["d1"]
	u := directions(rand.New(rand.NewPCG(3, 4)), len(g))[0]
	want := (p.loss(t, 1, u, 1) - p.loss(t, 1, u, -1)) / 2
	if got, scale := dot(g, u); !(math.Abs(got-want) <= 1e-5*scale) {
		t.Errorf("the gradient gives %v, differences %v", got, want)
	}
}
