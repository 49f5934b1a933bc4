package models

import (
	"cmp"
	"slices"
	"sync"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/onnx"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// Config describes everything that decides the graphs of a run.
type Config struct {
	Backbone  ResNet
	Expander  Expander
	Loss      Loss
	Optimizer optim.Config
	Batch     int           // images per view of one step, N; with Group, those of this process
	Size      int           // side of a view in pixels
	Mean, Std [3]float64    // of the pixels, in 0..1
	Compute   tensor.DType  // of activations; 0 for float32. Parameters, statistics and loss are float32
	Device    tensor.Device // that the graphs will run on; CUDA knows no Block, and bfloat16 only with CustomOps
	CustomOps bool          // of a graph for CUDA: see graph.Graph
	TF32      bool          // of a graph for CUDA: see graph.Graph
	Apart     bool          // the two views pass one after the other where one batch could be both, in training
	Group     graph.Group   // the processes that train together, in training
	Block     int           // channel block of the NCHWc kernels; 0 for the portable graph
	Standard  bool          // standard operators only, for tools other than ONNX Runtime; Block must be 0
}

// build runs f on a new graph of the kind that c asks for.
func (c Config) build(name string, f func(*graph.Graph)) (*graph.Graph, error) {
	return graph.Build(name, func(g *graph.Graph) {
		if c.compute() != tensor.Float32 && c.Block > 0 {
			g.Fail("graph", "the NCHWc kernels compute in float32, not in %v", c.compute())
		}
		if c.Standard && c.Block > 0 {
			g.Fail("graph", "blocks of %d channels are no standard operators", c.Block)
		}
		if c.Device == tensor.CUDA && (c.Block > 0 || c.Standard) {
			g.Fail("graph", "CUDA has no kernels for blocks of channels, and its graphs are not of standard operators")
		}
		if c.Device == tensor.CUDA && !c.CustomOps && c.compute() == tensor.BFloat16 {
			g.Fail("graph", "%v on CUDA needs the custom operators: the runtime's own kernels lack it", tensor.BFloat16)
		}
		g.Block, g.Standard, g.Device, g.CustomOps, g.TF32 = c.Block, c.Standard, c.Device, c.CustomOps, c.TF32
		f(g)
		if c.Device == tensor.CUDA && c.CustomOps && c.compute().Half() {
			g.HalvesTogether(c.compute())
		}
	})
}

func (c Config) compute() tensor.DType { return cmp.Or(c.Compute, tensor.Float32) }

// Names of graph inputs and outputs that are not parameters.
const (
	View1     = "view1" // uint8 [N, S, S, 3]
	View2     = "view2"
	Rate      = "lr"         // float32 [1]
	LossScale = "loss_scale" // float32 [1]; gradients are divided by it

	Representation1 = "representation1" // outputs of eval_model, float32 [N, D]
	Embedding1      = "embedding1"
	Embedding2      = "embedding2"

	Pixels    = "pixels"    // of an exported backbone, uint8 [N, S, S, 3]
	Embedding = "embedding" // of an exported backbone, float32 [N, D]
)

// Suffixes of the names that belong to a parameter or state tensor.
const (
	gradSuffix = ".grad" // its gradient
	nextSuffix = ".next" // its value after the step
)

// StateVar is a tensor that lives from step to step: the graph's input In holds
// it before a step and the output Out after.
type StateVar struct {
	In, Out string
	Shape   []int
}

// Artifact is a graph with what a runner must know of it. Params lists
// parameters and running statistics; State lists them and the optimiser's
// tensors with their input and output names.
type Artifact struct {
	Graph  *graph.Graph
	Params []*nn.Param
	State  []StateVar
}

// reserved is how much more memory is reserved for a step than its values take at once: in
// any order of their sizes they leave gaps.
const reserved = 1.03

// Reserve is how many bytes of a device's memory a run of the graph should have in one
// piece, besides its state.
func (a *Artifact) Reserve() (int64, error) {
	m, err := a.Graph.Model()
	if err != nil {
		return 0, err
	}
	return int64(reserved * float64(onnx.Peak(m.Graph))), nil
}

// InitialState draws the state before the first step: parameters by the seed and
// their names, statistics and the optimiser's tensors at their start values.
func (a *Artifact) InitialState(seed uint64) map[string]*tensor.Tensor {
	state := map[string]*tensor.Tensor{}
	for _, v := range a.State {
		state[v.In] = tensor.New(tensor.Float32, v.Shape...)
	}
	var drawn sync.WaitGroup // hundreds of millions of numbers, for large expanders
	values := make([]*tensor.Tensor, len(a.Params))
	for i, p := range a.Params {
		drawn.Go(func() { values[i] = p.InitialValue(seed) })
	}
	drawn.Wait()
	for i, p := range a.Params {
		state[p.Name] = values[i]
	}
	return state
}

// forward is a run of backbone, expander and loss on two views.
type forward struct {
	scope    *nn.Scope
	y, z, z2 *graph.Value // representation of view 1, embeddings of both
	terms    Terms
}

// newForward builds the forward pass. The two views pass one after the other:
// each has its own batch statistics, and the running ones are updated twice, as
// in the authors' code. Processes that train together normalise each its own
// batch, and have the loss of all their embeddings.
func newForward(g *graph.Graph, c Config, mode nn.Mode) forward {
	s := nn.NewScope(g, mode)
	if mode == nn.Train && c.together() {
		return together(g, c, s)
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

// loss is that of the embeddings of all processes that train together.
func (c Config) loss(g *graph.Graph, mode nn.Mode, z, z2 *graph.Value) Terms {
	if mode == nn.Train && !c.Group.Alone() {
		all := g.AllGather(c.Group, z, z2)
		z, z2 = all[0], all[1]
	}
	return c.Loss.Forward(g, z, z2)
}

// together is newForward with the views as the halves of one batch, of which each still
// has its own statistics: half as many kernels, each with twice the work.
func together(g *graph.Graph, c Config, s *nn.Scope) forward {
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

// together reports whether the views are one batch, unless Config keeps them apart. They can
// be with the custom operators, for the normalisations that they do whole, and as long as no
// activation has more numbers than the runtime's kernels count to. Both ways give the same
// but for rounding.
func (c Config) together() bool {
	const most = 1 << 31
	return !c.Apart && c.Device == tensor.CUDA && c.CustomOps && c.Backbone.Activation == "relu" && 2*c.Batch*c.Backbone.largest(c.Size) < most
}

// embed is backbone and expander: from pixels to representations and float32 embeddings.
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

// backward adds the gradients of the scaled loss for every parameter. With a group it is the
// sum of what the embeddings of each process give, and each running statistic after the step
// the mean of theirs.
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

// exchange sums gradients over the processes of a group, and means the running statistics. It
// is all in one operator: in a step nothing can come before it in one process and after it in
// another.
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

// statistics makes the running statistics after the step outputs.
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

// Training is ONNX Runtime's training_model: from two views, parameters and
// statistics to the loss terms, the gradient of every parameter (NAME.grad,
// scaled by loss_scale) and the new statistics (NAME.next).
func Training(c Config) (*Artifact, error) {
	a := &Artifact{}
	var err error
	a.Graph, err = c.build("training_model", func(g *graph.Graph) {
		lossScale := g.Input(LossScale, tensor.Float32, 1)
		f := newForward(g, c, nn.Train)
		f.outputs(g)
		for _, v := range f.backward(g, lossScale, c.Group) {
			g.Output(v.Name+gradSuffix, v.Grad)
		}
		a.State, a.Params = f.statistics(g), f.scope.Params()
	})
	return a, err
}

// Optimizer is ONNX Runtime's optimizer_model: from parameters, gradients, the
// optimiser's state, lr and loss_scale to the new parameters and state.
func Optimizer(c Config) (*Artifact, error) {
	training, err := Training(c)
	if err != nil {
		return nil, err
	}
	a := &Artifact{}
	a.Graph, err = c.build("optimizer_model", func(g *graph.Graph) {
		var vars []optim.Variable
		for _, p := range training.Params {
			if p.Statistic {
				continue
			}
			value := g.Input(p.Name, tensor.Float32, p.Shape...)
			vars = append(vars, optim.Variable{Name: p.Name, Value: value,
				Grad: g.Input(p.Name+gradSuffix, tensor.Float32, p.Shape...)})
			a.Params = append(a.Params, p)
		}
		a.State = optimize(g, c, vars, g.Input(LossScale, tensor.Float32, 1))
	})
	return a, err
}

// optimize adds the optimiser and its outputs.
func optimize(g *graph.Graph, c Config, vars []optim.Variable, lossScale *graph.Value) []StateVar {
	r := c.Optimizer.Forward(g, vars, g.Input(Rate, tensor.Float32, 1), lossScale)
	g.Output("grad_norm", r.GradNorm)
	g.Output("weight_norm", r.WeightNorm)
	g.Output("finite", r.Finite)
	var state []StateVar
	for i, v := range vars {
		g.Output(v.Name+nextSuffix, r.Values[i])
		state = append(state, StateVar{v.Name, v.Name + nextSuffix, v.Value.Shape})
	}
	for _, s := range r.State {
		g.Output(s.Name+nextSuffix, s.Out)
		state = append(state, StateVar{s.Name, s.Name + nextSuffix, s.In.Shape})
	}
	return state
}

// Step is training_model and optimizer_model merged into one graph, which is
// what runs on one device: the gradients never leave it.
func Step(c Config) (*Artifact, error) {
	a := &Artifact{}
	var err error
	a.Graph, err = c.build("step", func(g *graph.Graph) {
		lossScale := g.Input(LossScale, tensor.Float32, 1)
		f := newForward(g, c, nn.Train)
		f.outputs(g)
		vars := f.backward(g, lossScale, c.Group)
		a.State = append(optimize(g, c, vars, lossScale), f.statistics(g)...)
		a.Params = f.scope.Params()
	})
	return a, err
}

// Eval is ONNX Runtime's eval_model: the loss terms of two views with running
// statistics instead of those of the batch, the representations of the first
// view and the embeddings of both.
func Eval(c Config) (*Artifact, error) {
	a := &Artifact{}
	var err error
	a.Graph, err = c.build("eval_model", func(g *graph.Graph) {
		f := newForward(g, c, nn.Eval)
		f.outputs(g)
		g.Output(Representation1, g.Cast(f.y, tensor.Float32))
		g.Output(Embedding1, f.z)
		g.Output(Embedding2, f.z2)
		a.Params = f.scope.Params()
	})
	return a, err
}

// Export is the frozen backbone, its parameters taken from values by the names
// of the training graphs: uint8 pixels [N, S, S, 3] to embeddings [N, D], N open.
func Export(c Config, values map[string]*tensor.Tensor) (*graph.Graph, error) {
	return graph.Build("backbone", func(g *graph.Graph) {
		s := nn.NewFrozen(g, values)
		pixels := g.Input(Pixels, tensor.Uint8, graph.Batch, c.Size, c.Size, 3)
		x := nn.Normalize(g, pixels, c.Mean, c.Std, tensor.Float32)
		g.Output(Embedding, c.Backbone.Forward(s.Sub("backbone"), x))
	})
}
