// Package optim writes optimisers as graphs, and computes learning-rate
// schedules on the host.
package optim

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Config selects an optimiser. Zero fields mean zero, not a default: see Default.
type Config struct {
	Name        string  `json:"name"` // "lars", "sgd" or "adamw"
	Momentum    float64 `json:"momentum"`
	WeightDecay float64 `json:"weight_decay"`
	Trust       float64 `json:"trust"` // LARS: learning rate of a layer relative to its norm
	Clip        bool    `json:"clip"`  // LARS: Trust is an absolute rate that lr only bounds
	Beta1       float64 `json:"beta1"` // AdamW
	Beta2       float64 `json:"beta2"`
	Eps         float64 `json:"eps"`

	ClipNorm float64 `json:"clip_norm,omitempty"` // bound of the norm over all gradients, to which larger ones are scaled down; 0 for none
}

// String returns the optimiser with all its constants.
func (c Config) String() string {
	text := c.Name
	switch c.Name {
	case "lars":
		text += fmt.Sprintf(", momentum %g, trust %g", c.Momentum, c.Trust)
		if c.Clip {
			text += " clipped at lr"
		}
	case "adamw":
		text += fmt.Sprintf(", betas %g and %g, eps %g", c.Beta1, c.Beta2, c.Eps)
	default:
		text += fmt.Sprintf(", momentum %g", c.Momentum)
	}
	text += fmt.Sprintf(", weight decay %g", c.WeightDecay)
	if c.ClipNorm > 0 {
		text += fmt.Sprintf(", gradients clipped to a norm of %g", c.ClipNorm)
	}
	return text
}

// Variable is a parameter with its gradient, both float32 of one shape.
type Variable struct {
	Name        string
	Value, Grad *graph.Value
}

// State is one tensor that an optimiser keeps between steps, initially zero.
type State struct {
	Name    string
	In, Out *graph.Value
}

// Result is what an optimiser adds to a graph: the new value of each variable in order, its
// state, and the norms over all variables, [1] each, that of the gradient before clipping. Finite
// is 1 if neither the gradient nor the old values hold a NaN or an infinity, else 0. The values
// count because a ReLU can hide a bias of minus infinity from the gradient for ever.
type Result struct {
	Values                       []*graph.Value
	State                        []State
	GradNorm, WeightNorm, Finite *graph.Value
}

// update is one optimiser's formula for one variable; it returns the new value.
type update func(b *builder, v measured) *graph.Value

// builder carries what the formulas share while a graph is built.
type builder struct {
	Config
	g      *graph.Graph
	lr     *graph.Value
	state  []State
	stacks []stackedState
	fuse   *fused
	zero   *graph.Value // [], see factor
	adam   adamScalars
}

// Forward adds one step of the optimiser. lr and lossScale are [1]; the gradients are divided by
// lossScale first.
//
// The runtime orders nodes only by walking back from each output in turn, the last one first. The
// updates are therefore placed after the norms, each tied to its own part of the norm (see
// builder.factor); otherwise all gradients of a step would be kept until the last is computed.
// Matrices come first, to be updated last: the gradient of a linear layer is computed from a few
// numbers per image and can wait until the activations are freed, of which that of a convolution
// needs many.
func (c Config) Forward(g *graph.Graph, vars []Variable, lr, lossScale *graph.Value) Result {
	b := &builder{Config: c, g: g, lr: lr}
	step := b.formula()
	if g.Device == tensor.CUDA && g.CustomOps {
		return b.together(vars, lossScale)
	}
	if g.Device == tensor.CUDA {
		return b.stacked(vars, lossScale, step)
	}
	all := b.measure(vars, g.Reciprocal(lossScale))
	r := Result{
		Values:     make([]*graph.Value, len(vars)),
		GradNorm:   b.norm(all, func(v measured) *graph.Value { return v.grad2 }),
		WeightNorm: b.norm(all, func(v measured) *graph.Value { return v.weight2 }),
	}
	r.Finite = finite(g, g.Add(r.GradNorm, r.WeightNorm)) // both are non-negative, so nothing cancels
	if b.ClipNorm > 0 {
		b.clip(all, r.GradNorm)
	}
	for _, matrices := range []bool{true, false} {
		for i, v := range all {
			if matrix := v.Value.Rank() == 2; matrix == matrices {
				g.Prefix("optim/"+v.Name, func() {
					b.zero = g.Mul(v.grad2, g.Float(0))
					r.Values[i] = step(b, v)
				})
			}
		}
	}
	r.State = b.state
	return r
}

// measured is a variable with its unscaled gradient and the squared norms of both, [].
// It may also be a stack of variables, [k, n]: see stacked.
type measured struct {
	Variable
	d, grad2, weight2 *graph.Value
	stack             []Variable
}

// vector reports whether the variable has rank 1.
func (v measured) vector() bool {
	if v.stack != nil {
		return v.stack[0].Value.Rank() < 2
	}
	return v.Value.Rank() < 2
}

// measure unscales the gradients by the factor inv, [1].
func (b *builder) measure(vars []Variable, inv *graph.Value) []measured {
	all := make([]measured, len(vars))
	for i, v := range vars {
		b.g.Prefix("optim/"+v.Name, func() {
			d := b.g.Mul(v.Grad, inv)
			all[i] = measured{v, d, b.sumSquares(d), b.sumSquares(v.Value), nil}
		})
	}
	return all
}

// norm returns the square root, [1], of the sum of part over all variables.
func (b *builder) norm(all []measured, part func(measured) *graph.Value) *graph.Value {
	sum := part(all[0])
	for _, v := range all[1:] {
		sum = b.g.Add(sum, part(v))
	}
	return b.g.Reshape(b.g.Sqrt(sum), 1)
}

// finite is 1 where x is neither NaN nor infinite, else 0.
func finite(g *graph.Graph, x *graph.Value) *graph.Value {
	bad := g.Max(g.Cast(g.IsInf(x), tensor.Float32), g.Cast(g.IsNaN(x), tensor.Float32))
	return g.Sub(g.Float(1), bad)
}

// factor returns x as a value that depends on the norm of the current gradient, so that a product
// with it is not computed ahead of the gradient, nor the norm long after it. An infinite norm
// makes it NaN; Finite is then 0, and the step is not taken.
func (b *builder) factor(x float64) *graph.Value { return b.g.Add(b.zero, b.g.Float(x)) }

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

// stateOf declares a state tensor of the shape of v. The caller sets its Out.
func (b *builder) stateOf(v measured, suffix string) *State {
	if v.stack != nil {
		return b.keepStack(v.stack, suffix)
	}
	return b.keep(v.Name+suffix, v.Value.Shape...)
}

// keep declares a state tensor. The caller sets its Out before the next keep, which may move it.
func (b *builder) keep(name string, shape ...int) *State {
	b.state = append(b.state, State{Name: name, In: b.g.Input(name, tensor.Float32, shape...)})
	return &b.state[len(b.state)-1]
}

func (b *builder) sumSquares(x *graph.Value) *graph.Value {
	return b.g.ReduceSumSquare(b.g.Reshape(x, x.Elements()), false, 0)
}
