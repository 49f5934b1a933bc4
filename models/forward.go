package models

import (
	"slices"
	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// forward is one pass of backbone, expander and loss over two views.
type forward struct {
	scope    *nn.Scope
	y, z, z2 *graph.Value // representation of view 1, embeddings of both
	terms    Terms
}

// newForward builds the forward pass. Unless they share a batch (mergesViews), the views run one
// after the other: each has its own batch statistics, and the running statistics are updated twice,
// as in the authors' code. Processes that train together each normalise their own batch, but share
// one loss over all their embeddings.
func newForward(g *graph.Graph, c Config, mode nn.Mode) forward {
	s := nn.NewScope(g, mode)
	if mode == nn.Train && c.mergesViews() {
		return mergedForward(g, c, s)
	}
	embed := func(view string) (y, z *graph.Value) {
		pixels := g.Input(view, tensor.Uint8, c.Batch, c.Size, c.Size, 3)
		g.Prefix(view, func() { y, z = c.embed(s, pixels) })
		return y, z
	}
	y, z := embed(View1)
	_, z2 := embed(View2)
	return forward{s, y, z, z2, c.loss(g, mode, z, z2)}
}

// loss is taken over the embeddings of all processes that train together.
func (c Config) loss(g *graph.Graph, mode nn.Mode, z, z2 *graph.Value) Terms {
	if mode == nn.Train && !c.Group.Alone() {
		all := g.AllGather(c.Group, z, z2)
		z, z2 = all[0], all[1]
	}
	return c.Loss.Forward(g, z, z2)
}

// mergedForward is newForward with the views as the halves of one batch, each still normalised by
// its own statistics: half as many kernels, each doing twice the work.
func mergedForward(g *graph.Graph, c Config, s *nn.Scope) forward {
	s.Views = 2
	one := g.Input(View1, tensor.Uint8, c.Batch, c.Size, c.Size, 3)
	two := g.Input(View2, tensor.Uint8, c.Batch, c.Size, c.Size, 3)
	var y, z []*graph.Value
	g.Prefix("views", func() {
		both, embedded := c.embed(s, g.Concat(0, one, two))
		y, z = g.Split(both, 0, 2), g.Split(embedded, 0, 2)
	})
	return forward{s, y[0], z[0], z[1], c.loss(g, nn.Train, z[0], z[1])}
}

// mergesViews reports whether training runs both views as one batch. That needs CUDA's custom
// operators, whose fused normalisation with ReLU keeps the statistics of the views apart, and
// activations small enough for the runtime's kernels to index; Apart turns it off. The results are
// the same up to rounding.
func (c Config) mergesViews() bool {
	const most = 1 << 31
	return !c.Apart && c.Device == tensor.CUDA && c.CustomOps && c.Backbone.Activation == "relu" && 2*c.Batch*c.Backbone.largest(c.Size) < most
}

// embed applies backbone and expander: pixels to representations and float32 embeddings.
func (c Config) embed(s *nn.Scope, pixels *graph.Value) (y, z *graph.Value) {
	x := nn.Normalize(s.G, pixels, c.Mean, c.Std, c.compute())
	y = c.Backbone.Forward(s.Sub("backbone"), x)
	return y, s.G.Cast(c.Expander.Forward(s.Sub("expander"), y), tensor.Float32)
}

func (f forward) outputs(g *graph.Graph) {
	g.Output("loss", f.terms.Loss)
	g.Output("invariance", f.terms.Invariance)
	g.Output("variance", f.terms.Variance)
	g.Output("covariance", f.terms.Covariance)
}

// backward adds the gradient of the scaled loss with respect to every parameter. With a group,
// gradients are summed over the processes, and the running statistics after the step are averaged
// over them.
func (f forward) backward(g *graph.Graph, lossScale *graph.Value, group graph.Group) []optim.Variable {
	var vars []optim.Variable
	var wrt []*graph.Value
	for _, p := range f.scope.Params() {
		if !p.Statistic {
			vars = append(vars, optim.Variable{Name: p.Name, Value: p.In})
			wrt = append(wrt, p.In)
		}
	}
	grads := grad.Gradients(g, f.terms.Loss, lossScale, wrt)
	if !group.Alone() {
		grads = f.exchange(g, grads, group)
	}
	for i, d := range grads {
		vars[i].Grad = d
	}
	return vars
}

// exchange sums the gradients over the processes of a group and averages the running statistics.
// One operator does all of it: with several, two processes could run them in different orders.
func (f forward) exchange(g *graph.Graph, grads []*graph.Value, group graph.Group) []*graph.Value {
	all := slices.Clone(grads)
	f.scope.Settle()
	for _, p := range f.scope.Params() {
		if p.Statistic {
			all = append(all, p.Out)
		}
	}
	all = g.AllReduce(group, all...)
	sums := all[len(grads):]
	for _, p := range f.scope.Params() {
		if p.Statistic {
			p.Out, sums = g.Mul(sums[0], g.Float(1/float64(group.Size))), sums[1:]
		}
	}
	return all[:len(grads)]
}

// statistics adds the updated running statistics to the graph's outputs.
func (f forward) statistics(g *graph.Graph) []StateVar {
	var vars []StateVar
	f.scope.Settle()
	for _, p := range f.scope.Params() {
		if p.Statistic {
			g.Output(p.Name+nextSuffix, p.Out)
			vars = append(vars, StateVar{p.Name, p.Name + nextSuffix, p.Shape})
		}
	}
	return vars
}
