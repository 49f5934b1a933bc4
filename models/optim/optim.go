// Package optim writes optimisers as graphs, and computes learning-rate
// schedules on the host.
package optim

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Config selects an optimiser. Zero fields mean what they say, not a default:
// see Default.
type Config struct {
	Name        string  `json:"name"` // "lars", "sgd" or "adamw"
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"`
	Trust       float64 `json:"trust"` // LARS: learning rate of a layer relative to its norm
	Clip        bool    `json:"clip"`  // LARS: that rate is meant absolutely, and lr only bounds it
	Beta1       float64 `json:"beta1"` // AdamW
	Beta2       float64 `json:"beta2"`
	Eps         float64 `json:"eps"`
}

// Default returns the usual constants of an optimiser: LARS as the authors of
// VICReg use it, SGD with momentum, AdamW as PyTorch ships it.
func Default(name string) (Config, error) {
	switch name {
	case "lars":
		return Config{Name: name, Momentum: 0.9, WeightDecay: 1e-6, Trust: 0.001}, nil
	case "sgd":
		return Config{Name: name, Momentum: 0.9, WeightDecay: 1e-4}, nil
	case "adamw":
		return Config{Name: name, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}, nil
	}
	return Config{}, fmt.Errorf("unknown optimizer %q: want lars, sgd or adamw", name)
}

// For is Default with the constants that go with an augmentation recipe. LARS on
// small images takes those of solo-learn's VICReg on CIFAR.
func For(recipe, name string) (Config, error) {
	c, err := Default(name)
	if recipe == "cifar" && name == "lars" {
		c.Trust, c.Clip, c.WeightDecay = 0.02, true, 1e-4
	}
	return c, err
}

// Variable is a parameter with its gradient, both float32 of one shape.
type Variable struct {
	Name        string
	Value, Grad *graph.Value
}

// State is one tensor an optimiser keeps between steps: zero before the first.
type State struct {
	Name    string
	In, Out *graph.Value
}

// Result is what an optimiser adds to a graph: the new value of each variable
// in order, its state, and the norms over all variables, [1] each. Finite is 1
// where neither the gradient nor the old values hold a NaN or an infinity, else
// 0. A ReLU can hide a bias of minus infinity from the gradient for ever.
type Result struct {
	Values                       []*graph.Value
	State                        []State
	GradNorm, WeightNorm, Finite *graph.Value
}

// update is one optimiser's formula for one variable. d is the unscaled
// gradient; it returns the new value.
type update func(b *builder, v Variable, d *graph.Value) *graph.Value

// builder carries what the formulas share while a graph is built.
type builder struct {
	Config
	g     *graph.Graph
	lr    *graph.Value
	state []State
	norm2 *graph.Value // of the variable at hand, []
	adam  adamScalars
}

// Forward adds one step of the optimiser. lr and lossScale are [1]; the
// gradients are divided by lossScale first.
func (c Config) Forward(g *graph.Graph, vars []Variable, lr, lossScale *graph.Value) Result {
	b := &builder{Config: c, g: g, lr: lr}
	step := b.formula()
	inv := g.Reciprocal(lossScale)
	var gradNorm2, weightNorm2 *graph.Value
	var r Result
	for _, v := range vars {
		g.Prefix("optim/"+v.Name, func() {
			d := g.Mul(v.Grad, inv)
			b.norm2 = b.sumSquares(v.Value)
			gradNorm2 = plus(g, gradNorm2, b.sumSquares(d))
			weightNorm2 = plus(g, weightNorm2, b.norm2)
			r.Values = append(r.Values, step(b, v, d))
		})
	}
	r.State = b.state
	r.GradNorm = g.Reshape(g.Sqrt(gradNorm2), 1)
	r.WeightNorm = g.Reshape(g.Sqrt(weightNorm2), 1)
	both := g.Add(r.GradNorm, r.WeightNorm) // neither is negative: nothing cancels
	bad := g.Max(g.Cast(g.IsInf(both), tensor.Float32), g.Cast(g.IsNaN(both), tensor.Float32))
	r.Finite = g.Sub(g.Float(1), bad)
	return r
}

func (b *builder) formula() update {
	switch b.Name {
	case "lars":
		return lars
	case "sgd":
		return sgd
	case "adamw":
		b.startAdam()
		return adamW
	}
	b.g.Fail("Optimizer", "unknown optimizer %q", b.Name)
	return nil
}

// keep declares a state tensor of the variable and returns its present value.
func (b *builder) keep(name string, shape ...int) *State {
	b.state = append(b.state, State{Name: name, In: b.g.Input(name, tensor.Float32, shape...)})
	return &b.state[len(b.state)-1]
}

func (b *builder) sumSquares(x *graph.Value) *graph.Value {
	return b.g.ReduceSumSquare(b.g.Reshape(x, x.Elements()), false, 0)
}

func plus(g *graph.Graph, sum, x *graph.Value) *graph.Value {
	if sum == nil {
		return x
	}
	return g.Add(sum, x)
}
