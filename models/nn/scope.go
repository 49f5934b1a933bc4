// Package nn holds the layers of the models and the Scope that names their
// parameters. A layer is a function of a Scope and its input; calling it twice
// with the same names shares the parameters, as the two views of VICReg do.
package nn

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Mode says what the layers of a Scope compute.
type Mode int

const (
	// Train normalises by the statistics of the batch and updates the running ones.
	Train Mode = iota
	// Eval normalises by the running statistics.
	Eval
	// Frozen is Eval with the parameters as constants and normalisation folded
	// into the convolutions: what is exported.
	Frozen
)

// Param is a named tensor of the model. In is the graph input that holds it
// before the step. For a running statistic, Out is its value after the step;
// parameters get theirs from the optimiser.
type Param struct {
	Name      string
	Shape     []int
	Statistic bool
	In, Out   *graph.Value

	init     Init
	observed []observation
}

// Init returns the initial value of one element of a parameter; fanIn and fanOut are as in PyTorch.
type Init func(r *rand.Rand, fanIn, fanOut int) float64

// Scope creates parameters under dotted names, in the order of first use. It is
// not safe for concurrent use.
type Scope struct {
	G    *graph.Graph
	Mode Mode

	// Views is the number of equally long batches stacked along the first axis of the layers'
	// inputs; in training each has its own statistics. 0 means one. More than one needs the custom
	// operators.
	Views int

	prefix string
	set    *paramSet
}

type paramSet struct {
	list   []*Param
	byName map[string]*Param
	values map[string]*tensor.Tensor // of a frozen scope, by full name
}

// NewScope returns the root scope of a graph whose parameters are inputs.
func NewScope(g *graph.Graph, mode Mode) *Scope {
	return &Scope{G: g, Mode: mode, set: &paramSet{byName: map[string]*Param{}}}
}

// NewFrozen returns the root scope of a graph whose parameters are constants taken from values, by
// full name.
func NewFrozen(g *graph.Graph, values map[string]*tensor.Tensor) *Scope {
	s := NewScope(g, Frozen)
	s.set.values = values
	return s
}

// Sub returns the scope of a part of the model: its names start with name and a dot.
func (s *Scope) Sub(name string) *Scope {
	sub := *s
	sub.prefix = s.prefix + name + "."
	return &sub
}

// Params lists all parameters and statistics in the order of first use.
func (s *Scope) Params() []*Param { return s.set.list }

// Param returns the parameter of that name, created on first use.
func (s *Scope) Param(name string, init Init, shape ...int) *graph.Value {
	return s.param(name, init, shape, false).In
}

// Statistic returns the current value of a running statistic, created on first use: it includes
// updates made earlier in the same graph, except on CUDA (see Observe).
func (s *Scope) Statistic(name string, init float64, shape ...int) *graph.Value {
	return s.param(name, Constant(init), shape, true).Out
}

func (s *Scope) param(name string, init Init, shape []int, statistic bool) *Param {
	full := s.prefix + name
	if p := s.set.byName[full]; p != nil {
		if fmt.Sprint(p.Shape) != fmt.Sprint(shape) {
			s.G.Fail("Param", "%s has shape %v and was first used with %v", full, shape, p.Shape)
		}
		return p
	}
	p := &Param{Name: full, Shape: shape, Statistic: statistic, init: init}
	if s.Mode != Frozen {
		p.In = s.G.Input(full, tensor.Float32, shape...)
	}
	p.Out = p.In
	s.set.byName[full] = p
	s.set.list = append(s.set.list, p)
	return p
}

// frozen returns the data of a parameter of a frozen scope.
func (s *Scope) frozen(name string, shape ...int) []float32 {
	t := s.set.values[s.prefix+name]
	if t == nil {
		s.G.Fail("Param", "no value for %s%s", s.prefix, name)
	}
	if fmt.Sprint(t.Shape) != fmt.Sprint(shape) {
		s.G.Fail("Param", "%s%s has shape %v, want %v", s.prefix, name, t.Shape, shape)
	}
	return t.Float32()
}

// InitialValue draws a parameter's value before training. It depends on the seed
// and the name alone, so that adding a layer changes no other.
func (p *Param) InitialValue(seed uint64) *tensor.Tensor {
	h := fnv.New64a()
	h.Write([]byte(p.Name))
	r := rand.New(rand.NewPCG(seed, h.Sum64()))
	fanIn, fanOut := fans(p.Shape)
	t := tensor.New(tensor.Float32, p.Shape...)
	for i := range t.Float32() {
		t.Float32()[i] = float32(p.init(r, fanIn, fanOut))
	}
	return t
}

// fans returns the fan-in and fan-out of a weight as PyTorch counts them.
func fans(shape []int) (in, out int) {
	if len(shape) < 2 {
		return tensor.Elements(shape), tensor.Elements(shape)
	}
	area := tensor.Elements(shape[2:])
	return shape[1] * area, shape[0] * area
}
