package models

import (
	"sync"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/onnx"
	"vicreg/models/optim"
	"vicreg/models/tensor"
)

// StateVar is a tensor carried from step to step: the graph's input In holds it before a step, its
// output Out after.
type StateVar struct {
	In, Out string
	Shape   []int
}

// Artifact is a graph with what a runner needs to know about it. Params lists parameters and
// running statistics; State lists the tensors that a run updates, the optimiser's included, by
// input and output name.
type Artifact struct {
	Graph  *graph.Graph
	Params []*nn.Param
	State  []StateVar
}

// reserved is the ratio of the memory reserved for a step to the peak size of its live values. The
// excess allows for fragmentation.
const reserved = 1.03

// Reserve returns how many bytes of device memory to reserve in one piece for a run of the graph,
// besides its state.
func (a *Artifact) Reserve() (int64, error) {
	m, err := a.Graph.Model()
	if err != nil {
		return 0, err
	}
	return int64(reserved * float64(onnx.Peak(m.Graph))), nil
}

// InitialState draws the state before the first step: parameters from the seed and their names,
// statistics and the optimiser's tensors at their initial values.
func (a *Artifact) InitialState(seed uint64) map[string]*tensor.Tensor {
	state := map[string]*tensor.Tensor{}
	for _, v := range a.State {
		state[v.In] = tensor.New(tensor.Float32, v.Shape...)
	}
	var drawn sync.WaitGroup // in parallel: large expanders have hundreds of millions of weights
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

// Step is training_model and optimizer_model merged into one graph, so that the gradients never
// leave the device.
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

// Eval is ONNX Runtime's eval_model: the loss terms of two views under running rather than batch
// statistics, the representations of the first view and the embeddings of both.
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

// Export is the frozen backbone, its parameters looked up in values by their names in the training
// graphs: uint8 pixels [N, S, S, 3] to embeddings [N, D], with N symbolic.
func Export(c Config, values map[string]*tensor.Tensor) (*graph.Graph, error) {
	return graph.Build("backbone", func(g *graph.Graph) {
		s := nn.NewFrozen(g, values)
		pixels := g.Input(Pixels, tensor.Uint8, graph.Batch, c.Size, c.Size, 3)
		x := nn.Normalize(g, pixels, c.Mean, c.Std, tensor.Float32)
		g.Output(Embedding, c.Backbone.Forward(s.Sub("backbone"), x))
	})
}
