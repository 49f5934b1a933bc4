package graph_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// lastRows build each operator on channels-last values twice: in that layout, and from plain
// operators. No CPU has kernels for the former.
var lastRows = []struct {
	method string
	build  func(g *graph.Graph, in maker) (last, plain []value)
}{
	{"ToNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x := in(2, 3, 4, 5)
		last := g.ToNHWC(x)
		return []value{last, g.ToChannelsLast(g.Relu(g.Sub(g.Mul(last, last), g.Float(0.8))))},
			[]value{x, g.Transpose(g.Relu(g.Sub(g.Mul(x, x), g.Float(0.8))), 0, 2, 3, 1)}
	}},
	{"Rows", func(g *graph.Graph, in maker) ([]value, []value) {
		x := in(2, 3, 4, 5)
		return []value{g.Rows(g.ToNHWC(x))}, []value{g.Reshape(g.Transpose(x, 0, 2, 3, 1), 40, 3)}
	}},
	{"FromRows", func(g *graph.Graph, in maker) ([]value, []value) {
		x := in(40, 3)
		return []value{g.FromRows(x, 2, 3, 4, 5)}, []value{g.Transpose(g.Reshape(x, 2, 4, 5, 3), 0, 3, 1, 2)}
	}},
	{"EveryNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x, one := in(2, 3, 4, 5), g.Full(1, 3, 1, 1, 1)
		return []value{g.EveryNHWC(g.ToNHWC(x), 2)}, []value{g.Conv(x, one, nil, graph.Square(1, 2, 0), 3)}
	}},
	{"PadNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x := in(2, 3, 4, 5)
		return []value{g.PadNHWC(g.ToNHWC(x), 8)}, []value{g.Pad(x, []int{0, 0, 0, 0}, []int{0, 5, 0, 0})}
	}},
	{"ConvNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x, w, win := in(2, 3, 5, 6), in(4, 3, 2, 3), graph.Window{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 0, 2, 1}}
		return []value{g.ConvNHWC(g.ToNHWC(x), g.Transpose(w, 0, 2, 3, 1), win)}, []value{g.Conv(x, w, nil, win, 1)}
	}},
	{"MaxPoolNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x, win := in(2, 3, 7, 6), graph.Square(3, 2, 1)
		y, index := g.MaxPoolNHWC(g.ToNHWC(x), win)
		py, pindex := g.MaxPool(x, win)
		return []value{y, index}, []value{py, pindex}
	}},
	{"MeanNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x := in(2, 3, 4, 5)
		return []value{g.MeanNHWC(g.ToNHWC(x))}, []value{g.ReduceMean(x, false, 2, 3)}
	}},
	{"NormNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x, a, b, m, v := in(2, 3, 4, 5), in(3), in(3), in(3), in(3)
		return []value{g.NormNHWC(g.ToNHWC(x), a, b, m, v, 1e-3)}, []value{g.BatchNormalization(x, a, b, m, v, 1e-3)}
	}},
	{"ScaleNHWC", func(g *graph.Graph, in maker) ([]value, []value) {
		x, a := in(2, 3, 4, 5), in(3)
		return []value{g.ScaleNHWC(g.ToNHWC(x), a)}, []value{g.Mul(x, g.Reshape(a, 3, 1, 1))}
	}},
	{"CudnnConv", func(g *graph.Graph, in maker) ([]value, []value) {
		x, w, win := in(2, 3, 5, 6), in(4, 3, 2, 3), graph.Window{KH: 2, KW: 3, Stride: 2, Pads: [4]int{1, 2, 1, 2}}
		return []value{g.CudnnConv(g.ToNHWC(x), g.Transpose(w, 0, 2, 3, 1), win)}, []value{g.Conv(x, w, nil, win, 1)}
	}},
	{"CudnnConvInputGrad", func(g *graph.Graph, in maker) ([]value, []value) {
		dy, w, win := in(2, 4, 3, 4), in(4, 3, 3, 3), graph.Square(3, 2, 1)
		return []value{g.CudnnConvInputGrad(g.ToNHWC(dy), g.Transpose(w, 0, 2, 3, 1), win, 5, 8)},
			[]value{g.ConvTranspose(dy, w, win, [2]int{0, 1})}
	}},
	{"CudnnConvWeightGrad", func(g *graph.Graph, in maker) ([]value, []value) {
		// With images and channels exchanged it is a convolution by dy.
		dy, x := in(2, 4, 3, 3), in(2, 3, 5, 5)
		dw := g.Conv(g.Transpose(x, 1, 0, 2, 3), g.Transpose(dy, 1, 0, 2, 3), nil,
			graph.Window{KH: 3, KW: 3, Stride: 1, Pads: [4]int{1, 1, 1, 1}, Dilation: [2]int{2, 2}}, 1)
		return []value{g.CudnnConvWeightGrad(g.ToNHWC(dy), g.ToNHWC(x), graph.Square(3, 2, 1))}, []value{g.Transpose(dw, 1, 2, 3, 0)}
	}},
	{"NormalizeBatch", func(g *graph.Graph, in maker) ([]value, []value) {
		x, gamma, beta, r := in(2, 3, 4, 5), in(3), in(3), in(2, 3, 4, 5)
		each := func(v value) value { return g.Reshape(v, 3, 1, 1) }
		mean := g.ReduceMean(x, false, 0, 2, 3)
		centred := g.Sub(x, each(mean))
		variance := g.ReduceMean(g.Mul(centred, centred), false, 0, 2, 3)
		istd := g.Reciprocal(g.Sqrt(g.Add(variance, g.Float(1e-3))))
		normal := g.Add(g.Mul(centred, each(g.Mul(istd, gamma))), each(beta))
		var last, plain []value
		for i, want := range []value{normal, g.Relu(normal), g.Relu(g.Add(normal, r))} {
			n := graph.Norm{Eps: 1e-3, Relu: i > 0}
			if i == 2 {
				n.Residual = g.ToNHWC(r)
			}
			y := g.NormalizeBatch(g.ToNHWC(x), gamma, beta, n)
			last, plain = append(last, y.Y, y.Mean, y.Variance, y.Istd), append(plain, want, mean, variance, istd)
		}
		return last, plain
	}},
	{"MaxPoolPlaces", func(g *graph.Graph, in maker) ([]value, []value) {
		x, win := in(2, 3, 7, 6), graph.Square(3, 2, 1)
		want, _ := g.MaxPool(x, win)
		y, _ := g.MaxPoolPlaces(g.ToNHWC(x), win)
		return []value{y}, []value{want}
	}},
	{"MaxPoolPlacesGrad", func(g *graph.Graph, in maker) ([]value, []value) {
		x, dy, win := in(2, 3, 7, 6), in(2, 3, 4, 3), graph.Square(3, 2, 1)
		_, index := g.MaxPool(x, win)
		n := dy.Elements()
		dx := g.ScatterAdd(g.Full(0, x.Elements()), g.Reshape(index, n), g.Reshape(dy, n))
		_, places := g.MaxPoolPlaces(g.ToNHWC(x), win)
		return []value{g.MaxPoolPlacesGrad(g.ToNHWC(dy), places, win, 7, 6)}, []value{g.Reshape(dx, 2, 3, 7, 6)}
	}},
	{"PixelValues", func(g *graph.Graph, in maker) ([]value, []value) {
		x, scale, shift := g.Input("pixels", tensor.Uint8, 2, 5, 4, 3), in(3), in(3)
		each := func(v value) value { return g.Reshape(v, 3, 1, 1) }
		want := g.Add(g.Mul(g.Cast(g.Transpose(x, 0, 3, 1, 2), tensor.Float32), each(scale)), each(shift))
		y := g.PixelValues(x, scale, shift, tensor.Float32, 3)
		return []value{y, g.WiderPixels(y, 5)}, []value{want, g.Pad(want, []int{0, 0, 0, 0}, []int{0, 2, 0, 0})}
	}},
	{"GatedAdd", func(g *graph.Graph, in maker) ([]value, []value) {
		x, y, a := in(4, 5), in(4, 5), in(4, 1)
		return []value{g.GatedAdd(x, y, a)}, []value{g.Add(x, g.Mul(y, a))}
	}},
	{"Dots", func(g *graph.Graph, in maker) ([]value, []value) {
		p, q, dp, dq := in(2, 3, 4), in(5), in(2, 3, 4), in(5)
		var sums []value
		for _, pair := range [][2]value{{p, p}, {q, q}, {dp, dp}, {dq, dq}, {p, dp}, {q, dq}} {
			x := g.Mul(pair[0], pair[1])
			sums = append(sums, g.ReduceSum(g.Reshape(x, x.Elements()), true, 0))
		}
		return []value{g.Dots([]value{p, q}, []value{dp, dq})}, []value{g.Reshape(g.Concat(0, sums...), 3, 2)}
	}},
	{"Momentum", func(g *graph.Graph, in maker) ([]value, []value) {
		p, d, m, decay, rate, lr := in(2, 3), in(2, 3), in(2, 3), in(1, 1), in(1), in(1)
		var list, plain []value
		for _, mu := range []float32{0.5, 0} {
			ps, ms := g.Momentum(graph.MomentumStep{Momentum: mu, Decay: decay, Rate: rate, LR: lr}, []value{p}, []value{d}, []value{m})
			next := g.Add(g.Mul(m, g.Float(float64(mu))), g.Mul(rate, g.Add(d, g.Mul(decay, p))))
			list, plain = append(list, ps[0], ms[0]), append(plain, g.Sub(p, g.Mul(lr, next)), next)
		}
		return list, plain
	}},
	{"Adam", func(g *graph.Graph, in maker) ([]value, []value) {
		decay, rate, correct, inv := in(1, 2), in(1), g.Full(2, 1), in(1)
		ps, gs, ms := []value{in(2, 3), in(4)}, []value{in(2, 3), in(4)}, []value{in(2, 3), in(4)}
		var vs, nextP, nextM, nextV []value
		for i, each := range g.Split(g.Reshape(decay, 2), 0, 2) {
			p, d, v := ps[i], g.Mul(gs[i], inv), g.Mul(gs[i], gs[i]) // v is non-negative
			m := g.Add(g.Mul(ms[i], g.Float(0.5)), g.Mul(d, g.Float(0.5)))
			w := g.Add(g.Mul(v, g.Float(0.75)), g.Mul(g.Mul(d, d), g.Float(0.25)))
			step := g.Div(m, g.Add(g.Sqrt(g.Mul(w, correct)), g.Float(0.125)))
			vs, nextM, nextV = append(vs, v), append(nextM, m), append(nextV, w)
			nextP = append(nextP, g.Sub(g.Sub(p, g.Mul(p, each)), g.Mul(step, rate)))
		}
		s := graph.AdamStep{Beta1: 0.5, Beta2: 0.75, Eps: 0.125, Decay: decay, Rate: rate, Correct: correct, Inv: inv}
		p, m, v := g.Adam(s, ps, gs, ms, vs)
		return slices.Concat(p, m, v), slices.Concat(nextP, nextM, nextV)
	}},
	{"Blend", func(g *graph.Graph, in maker) ([]value, []value) {
		w, a, b, c, d := in(2, 2), in(3), in(4, 1), in(3), in(4, 1)
		each := g.Split(g.Reshape(w, 4), 0, 4)
		return g.Blend(w, []value{a, b}, []value{c, d}),
			[]value{g.Add(g.Mul(a, each[0]), g.Mul(c, each[2])), g.Add(g.Mul(b, each[1]), g.Mul(d, each[3]))}
	}},
	{"Sums", func(g *graph.Graph, in maker) ([]value, []value) {
		a, b, c, d := in(3), in(2, 4), in(3), in(2, 4)
		list := g.Sums([]value{a, b}, []value{c, d})
		sum := []value{g.Add(a, c), g.Add(b, d)}
		for _, t := range []tensor.DType{tensor.Float16, tensor.BFloat16} {
			list, sum = append(list, g.Sums([]value{g.Cast(a, t)}, []value{g.Cast(c, t)})...), append(sum, sum[0])
		}
		return list, sum
	}},
	{"Halves", func(g *graph.Graph, in maker) ([]value, []value) {
		a, b := in(3), in(2, 4)
		list, plain := g.Halves([]value{a, b}, tensor.Float16), []value{g.Cast(a, tensor.Float16), g.Cast(b, tensor.Float16)}
		return append(list, g.Halves([]value{a, b}, tensor.BFloat16)...), append(plain, g.Cast(a, tensor.BFloat16), g.Cast(b, tensor.BFloat16))
	}},
	{"AllGather", func(g *graph.Graph, in maker) ([]value, []value) {
		x, z, alone := in(2, 3), in(4), graph.Group{Size: 1}
		return append(g.AllGather(alone, x, z), g.AllReduce(alone, x)...), []value{x, z, x}
	}},
	{"AllReduce", func(g *graph.Graph, in maker) ([]value, []value) {
		x, z := in(2, 3), in(4)
		return g.AllReduce(graph.Group{Size: 1}, x, z), []value{x, z}
	}},
	{"BiasAdd", func(g *graph.Graph, in maker) ([]value, []value) {
		var last, plain []value
		for _, p := range []int{12, 7, 4096} { // wide rows, none, the widest allowed
			x, b, skip := in(p, 3), in(3), in(p, 3)
			last, plain = append(last, g.BiasAdd(x, b, skip)), append(plain, g.Add(g.Add(x, b), skip))
		}
		return last, plain
	}},
}

func TestChannelsLastEqualsPlain(t *testing.T) {
	for _, row := range lastRows {
		count := 0
		g := build(t, row.method, func(g *graph.Graph) {
			last, plain := row.build(g, inputs(g))
			for i := range last {
				g.Output("last"+string(rune('0'+i)), g.ToPlain(last[i]))
				g.Output("plain"+string(rune('0'+i)), plain[i])
			}
			count = len(last)
		})
		if _, err := g.Model(); err != nil {
			t.Errorf("%s: %v", row.method, err)
		}
		out, err := reference.Run(g, randomInputs(g))
		if err != nil {
			t.Fatalf("%s: %v", row.method, err)
		}
		for i := range count {
			got, want := out["last"+string(rune('0'+i))], out["plain"+string(rune('0'+i))]
			if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) <= 1e-12 }) {
				t.Errorf("%s: result %d is %v, want %v", row.method, i, got, want)
			}
		}
	}
}

// The file declares the shapes of memory, and the version of the operators.
func TestChannelsLastInTheFile(t *testing.T) {
	m := model(t, "last", func(g *graph.Graph) {
		x := g.ToNHWC(g.Input("x", tensor.Float16, 2, 3, 4, 5))
		g.Output("y", g.Rows(g.ConvNHWC(x, g.Input("w", tensor.Float16, 8, 3, 3, 3), graph.Square(3, 1, 1))))
	})
	if d := m.OpsetImport[1]; d.Domain != graph.DomainNHWC || d.Version != graph.Opset {
		t.Errorf("operators of %v", m.OpsetImport)
	}
	for _, v := range m.Graph.ValueInfo {
		if dims := v.Type.GetTensorType().Shape.Dim; v.Name == "conv_1" && (len(dims) != 4 || dims[1].GetDimValue() != 4 || dims[3].GetDimValue() != 8) {
			t.Errorf("the convolution gives %v", dims)
		}
	}
}

func TestChannelsLastErrors(t *testing.T) {
	for _, c := range []struct {
		want  string
		build func(g *graph.Graph, x, last value)
	}{
		{"x is in the plain layout", func(g *graph.Graph, x, _ value) { g.Rows(x) }},
		{"x is in the plain layout", func(g *graph.Graph, x, _ value) { g.ScaleNHWC(x, g.Full(1, 3)) }},
		{"transpose_1 is in the nhwc layout", func(g *graph.Graph, _, last value) { g.Transpose(last, 0, 2, 3, 1) }},
		{"layouts of plain[2 3 4 5] and nhwc[2 3 4 5] differ", func(g *graph.Graph, x, last value) { g.Add(x, last) }},
		{"input [2 3 4 5] has 3 channels, weight [8 4 3 3] wants 4 in 1 groups", func(g *graph.Graph, _, last value) {
			g.ConvNHWC(last, g.Full(1, 8, 3, 3, 4), graph.Square(3, 1, 1))
		}},
		{"float32[4] does not fit input float32[2 3 4 5]", func(g *graph.Graph, _, last value) { g.ScaleNHWC(last, g.Full(1, 4)) }},
		{"[2 3 4 5] does not hold [2 3 4 6]", func(g *graph.Graph, x, _ value) { g.FromRows(x, 2, 3, 4, 6) }},
		{"[2 3 4 5] has more than 2 channels", func(g *graph.Graph, _, last value) { g.PadNHWC(last, 2) }},
	} {
		_, err := graph.Build("bad", func(g *graph.Graph) {
			x := g.Input("x", tensor.Float32, 2, 3, 4, 5)
			c.build(g, x, g.ToNHWC(x))
		})
		if err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
