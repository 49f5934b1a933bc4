package grad

import (
	"iter"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Layer describes a convolution with the normalisation behind it, for measuring the
// forms that a graph for CUDA can take.
type Layer struct {
	N, C, H, W, M  int
	Window         graph.Window
	Residual, Relu bool
	Compute        tensor.DType // Float16 or Float32
	Forms          graph.Forms
}

// Graph is the layer forwards and backwards: from x [N, H, W, C], weights and dy
// [N, OH, OW, M] (and the residual, like dy) to the new statistics and the gradients
// of all inputs, named d and the input's name.
func (l Layer) Graph() (*graph.Graph, error) {
	return graph.Build("layer", func(g *graph.Graph) {
		for name, v := range l.Build(g, g.Input) {
			g.Output(name, v)
		}
	})
}

// Build adds what Graph has to g, from the values that input gives for their names,
// and returns the results by name, in order.
func (l Layer) Build(g *graph.Graph, input func(name string, t tensor.DType, shape ...int) *graph.Value) iter.Seq2[string, *graph.Value] {
	g.Device, g.Forms = tensor.CUDA, l.Forms
	oh, ow := l.Window.Out(l.H, l.W)
	image := func(name string, c, h, w int) *graph.Value {
		return g.FromRows(input(name, l.Compute, l.N, h, w, c), l.N, c, h, w)
	}
	names := []string{"x", "w", "gamma", "beta"}
	wrt := []*graph.Value{image("x", l.C, l.H, l.W), input("w", tensor.Float32, l.M, l.C, l.Window.KH, l.Window.KW),
		input("gamma", tensor.Float32, l.M), input("beta", tensor.Float32, l.M)}
	o := BatchNormOptions{Eps: 1e-5, Relu: l.Relu}
	if l.Residual {
		o.Residual = image("residual", l.M, oh, ow)
		names, wrt = append(names, "residual"), append(wrt, o.Residual)
	}
	dy := image("dy", l.M, oh, ow)
	y, mean, variance := ConvNorm(g, wrt[0], g.Cast(wrt[1], l.Compute), l.Window, wrt[2], wrt[3], o)
	grads := Gradients(g, y, dy, wrt)
	return func(yield func(string, *graph.Value) bool) {
		if !yield("mean", mean) || !yield("variance", variance) {
			return
		}
		for i, d := range grads {
			if d.Layout == tensor.NHWC {
				d = g.Rows(d)
			}
			if !yield("d"+names[i], d) {
				return
			}
		}
	}
}
