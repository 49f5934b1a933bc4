package main

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// groups is the table of what is timed: the operators that take the time of a step, at
// the sizes of ResNet-50 at 224 pixels and ResNet-18 at 32, one view.
func groups(quick, host bool) []group {
	n50, n18, t := 256, 512, tensor.Float16
	if quick {
		n50, n18 = 2, 8
	}
	if host { // which has no kernels for float16
		t = tensor.Float32
	}
	var all []group
	for _, c := range []layer{
		{n50, 64, 64, 56, 3, 1}, {n50, 256, 64, 56, 1, 1}, {n50, 128, 128, 56, 3, 2}, {n50, 1024, 256, 14, 1, 1}, {n50, 512, 512, 7, 3, 1},
		{n18, 64, 64, 32, 3, 1}, {n18, 128, 256, 16, 3, 2},
	} {
		all = append(all, c.forward(t), c.dX(t), c.dW(t))
	}
	return append(all, passes(n50, t), sums(n50, t))
}

// layer is a convolution of n images, from c channels of side h to m, k x k.
type layer struct{ n, c, m, h, k, stride int }

func (l layer) String() string {
	return fmt.Sprintf("%d x %d to %d channels, %d px, %dx%d, stride %d", l.n, l.c, l.m, l.h, l.k, l.k, l.stride)
}

func (l layer) window() graph.Window { return graph.Square(l.k, l.stride, l.k/2) }

// out is the side of the result.
func (l layer) out() int {
	h, _ := l.window().Out(l.h, l.h)
	return h
}

func (l layer) x(g *graph.Graph, t tensor.DType) *graph.Value {
	return g.Input("x", t, l.n, l.c, l.h, l.h)
}
func (l layer) w(g *graph.Graph, t tensor.DType) *graph.Value {
	return g.Input("w", t, l.m, l.c, l.k, l.k)
}
func (l layer) dy(g *graph.Graph, t tensor.DType) *graph.Value {
	return g.Input("dy", t, l.n, l.m, l.out(), l.out())
}

func (l layer) forward(t tensor.DType) group {
	return group{"conv, " + l.String(), []form{{"Conv", func(g *graph.Graph) []*graph.Value {
		return []*graph.Value{g.Conv(l.x(g, t), l.w(g, t), nil, l.window(), 1)}
	}}}}
}

// dX is the gradient of a convolution with respect to its input.
func (l layer) dX(t tensor.DType) group {
	pad := (l.h + 2*(l.k/2) - l.k) % l.stride
	forms := []form{{"ConvTranspose", func(g *graph.Graph) []*graph.Value {
		return []*graph.Value{g.ConvTranspose(l.dy(g, t), l.w(g, t), l.window(), [2]int{pad, pad})}
	}}}
	if l.stride == 1 {
		forms = append(forms, form{"Conv, weights turned", func(g *graph.Graph) []*graph.Value {
			w := g.Transpose(l.w(g, t), 1, 0, 2, 3)
			if l.k > 1 {
				w = g.Flip(w, 2, 3)
			}
			return []*graph.Value{g.Conv(l.dy(g, t), w, nil, graph.Square(l.k, 1, l.k/2), 1)}
		}})
	}
	return group{"conv dX, " + l.String(), forms}
}

// dW is its gradient with respect to the weights.
func (l layer) dW(t tensor.DType) group {
	forms := []form{{"Conv, axes swapped", func(g *graph.Graph) []*graph.Value {
		x, dy := g.Transpose(l.x(g, t), 1, 0, 2, 3), g.Transpose(l.dy(g, t), 1, 0, 2, 3)
		win := graph.Window{KH: l.out(), KW: l.out(), Stride: 1, Dilation: [2]int{l.stride, l.stride}}
		win.Pads = [4]int{l.k / 2, l.k / 2, l.k / 2, l.k / 2}
		y := g.Conv(x, dy, nil, win, 1) // [C, M, k or more, k or more]
		return []*graph.Value{g.Slice(g.Slice(y, 2, 0, l.k), 3, 0, l.k)}
	}}}
	if l.k == 1 && l.stride == 1 {
		flat := func(v *graph.Value, g *graph.Graph) *graph.Value { return g.Reshape(v, l.n, v.Dim(1), l.h*l.h) }
		forms = append(forms, form{"FusedMatMul by image, ReduceSum", func(g *graph.Graph) []*graph.Value {
			return []*graph.Value{g.ReduceSum(g.FusedMatMul(flat(l.dy(g, t), g), flat(l.x(g, t), g), false, true, 1), false, 0)}
		}}, form{"Transpose, one FusedMatMul", func(g *graph.Graph) []*graph.Value {
			rows := func(v *graph.Value) *graph.Value {
				return g.Reshape(g.Transpose(flat(v, g), 0, 2, 1), l.n*l.h*l.h, v.Dim(1))
			}
			return []*graph.Value{g.FusedMatMul(rows(l.dy(g, t)), rows(l.x(g, t)), true, false, 1)}
		}})
	}
	return group{"conv dW, " + l.String(), forms}
}

// passes are element-wise chains, which read and write memory.
func passes(n int, t tensor.DType) group {
	in := func(g *graph.Graph) (x, y *graph.Value) {
		return g.Input("x", t, n, 256, 56, 56), g.Input("y", t, n, 256, 56, 56)
	}
	return group{fmt.Sprintf("ReLU backward, %d x 256 channels, 56 px", n), []form{
		{"Where", func(g *graph.Graph) []*graph.Value {
			x, y := in(g)
			return []*graph.Value{g.Where(g.Greater(y, g.Like(y, 0)), x, g.Like(x, 0))}
		}},
		{"Cast of Greater, Mul", func(g *graph.Graph) []*graph.Value {
			x, y := in(g)
			return []*graph.Value{g.Mul(x, g.Cast(g.Greater(y, g.Like(y, 0)), t))}
		}},
	}}
}

// sums are reductions over images and pixels, as BatchNorm has them.
func sums(n int, t tensor.DType) group {
	in := func(g *graph.Graph) *graph.Value { return g.Input("x", t, n, 64, 56, 56) }
	return group{fmt.Sprintf("sum of squares by channel in float32, %d x 64 channels, 56 px", n), []form{
		{"Cast, ReduceSumSquare", func(g *graph.Graph) []*graph.Value {
			return []*graph.Value{g.ReduceSumSquare(g.Cast(in(g), tensor.Float32), false, 0, 2, 3)}
		}},
		{"Cast, Mul, ReduceSum in two", func(g *graph.Graph) []*graph.Value {
			x := g.Cast(g.Reshape(in(g), n, 64, 56*56), tensor.Float32)
			return []*graph.Value{g.ReduceSum(g.ReduceSum(g.Mul(x, x), false, 2), false, 0)}
		}},
	}}
}
