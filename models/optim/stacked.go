package optim

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// On CUDA, a step over small tensors costs by the number of its kernels, and one over large
// tensors by its passes over memory. Without an operator that takes all variables (see together),
// those of one shape are stacked, and a formula runs once per stack. Stacking adds two passes,
// which is not worth it for large tensors. Sums of products are left to an operator that takes a
// single pass.

const (
	// stackedNumbers bounds the size of a variable that is stacked with others.
	stackedNumbers = 1 << 22
	// stackedVariables is how many tensors the runtime concatenates or splits in one kernel
	// without uploading a list of them first.
	stackedVariables = 32
)

// stackedState is a state tensor of a stack, and the parts it consists of.
type stackedState struct {
	whole *State
	parts []State
}

// stacked is Forward with variables of one shape stacked. A stack of k variables of n elements is
// [k, n], also for k = 1; its squared norms are [k, 1], that of the gradient still multiplied by
// the square of the loss scale.
func (b *builder) stacked(vars []Variable, lossScale *graph.Value, step update) Result {
	g := b.g
	inv := g.Reciprocal(lossScale)
	r := Result{Values: make([]*graph.Value, len(vars))}
	groups := stacks(vars)
	all := make([]measured, len(groups))
	for i, at := range groups {
		b.prefixed(vars, at, func() { all[i] = b.measureStack(pick(vars, at)) })
	}
	r.GradNorm = g.Mul(b.stackedNorm(all, func(v measured) *graph.Value { return v.grad2 }), inv)
	r.WeightNorm = b.stackedNorm(all, func(v measured) *graph.Value { return v.weight2 })
	r.Finite = finite(g, g.Add(r.GradNorm, r.WeightNorm)) // both are non-negative, so nothing cancels
	if b.ClipNorm > 0 {
		lossScale, inv = b.rescale(lossScale, r.GradNorm)
	}
	if b.Name != "adamw" {
		b.fuse = &fused{lossScale: lossScale, inv: inv}
		step = fusedMomentum
	}
	for i, at := range groups {
		b.prefixed(vars, at, func() {
			b.zero = g.Mul(all[i].grad2, g.Float(0))
			if b.fuse == nil {
				all[i].d = g.Mul(all[i].Grad, inv)
			}
			parts := b.unstack(step(b, all[i]), pick(vars, at))
			for j, k := range at {
				r.Values[k] = parts[j]
			}
			b.unstackState()
		})
	}
	r.State = b.state
	return r
}

func (b *builder) prefixed(vars []Variable, at []int, f func()) {
	name := vars[at[0]].Name
	if len(at) > 1 {
		name = fmt.Sprintf("%s+%d", name, len(at)-1)
	}
	b.g.Prefix("optim/"+name, f)
}

// stacks groups variables by shape, in order of first appearance. Large ones stand alone.
func stacks(vars []Variable) (groups [][]int) {
	open := map[string]int{} // the group that takes the next variable of a shape
	for i, v := range vars {
		key := fmt.Sprint(v.Value.Shape)
		at, ok := open[key]
		if !ok || len(groups[at]) == stackedVariables || v.Value.Elements() > stackedNumbers {
			at = len(groups)
			open[key] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], i)
	}
	return groups
}

func pick(vars []Variable, at []int) []Variable {
	out := make([]Variable, len(at))
	for i, k := range at {
		out[i] = vars[k]
	}
	return out
}

// measureStack is measure for a stack, without d.
func (b *builder) measureStack(vars []Variable) measured {
	values, grads := make([]*graph.Value, len(vars)), make([]*graph.Value, len(vars))
	for i, v := range vars {
		values[i], grads[i] = v.Value, v.Grad
	}
	v := measured{Variable: Variable{vars[0].Name, b.stackOf(values), b.stackOf(grads)}, stack: vars}
	v.grad2, v.weight2 = b.squares(v.Grad), b.squares(v.Value)
	return v
}

// stackOf joins k tensors of n numbers each as [k, n].
func (b *builder) stackOf(xs []*graph.Value) *graph.Value {
	x := xs[0]
	if len(xs) > 1 {
		x = b.g.Concat(0, xs...)
	}
	return b.g.Reshape(x, len(xs), xs[0].Elements())
}

// unstack splits x [k, n] into tensors of the shapes of vars.
func (b *builder) unstack(x *graph.Value, vars []Variable) []*graph.Value {
	shape := append([]int{len(vars) * vars[0].Value.Shape[0]}, vars[0].Value.Shape[1:]...)
	x = b.g.Reshape(x, shape...)
	if len(vars) == 1 {
		return []*graph.Value{x}
	}
	return b.g.Split(x, 0, len(vars))
}

// keepStack declares a state tensor for each of vars and returns their stack.
func (b *builder) keepStack(vars []Variable, suffix string) *State {
	s := stackedState{whole: &State{}}
	ins := make([]*graph.Value, len(vars))
	for i, v := range vars {
		ins[i] = b.g.Input(v.Name+suffix, tensor.Float32, v.Value.Shape...)
		s.parts = append(s.parts, State{Name: v.Name + suffix, In: ins[i]})
	}
	s.whole.In = b.stackOf(ins)
	b.stacks = append(b.stacks, s)
	return s.whole
}

// unstackState sets the new values of the variables' states from those of the last stack.
func (b *builder) unstackState() {
	for _, s := range b.stacks {
		vars := make([]Variable, len(s.parts))
		for i, p := range s.parts {
			vars[i].Value = p.In
		}
		for i, out := range b.unstack(s.whole.Out, vars) {
			s.parts[i].Out = out
		}
		b.state = append(b.state, s.parts...)
	}
	b.stacks = nil
}

// stackedNorm is norm for stacks, from the squared norms of their variables.
func (b *builder) stackedNorm(all []measured, part func(measured) *graph.Value) *graph.Value {
	g := b.g
	var sums []*graph.Value
	for _, v := range all {
		s := part(v)
		if len(v.stack) > 1 {
			s = g.ReduceSum(s, true, 0)
		}
		sums = append(sums, s)
	}
	return g.Reshape(g.Sqrt(g.Sum(sums...)), 1)
}
