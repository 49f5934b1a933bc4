package optim

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// On CUDA a step over small tensors is as long as its kernels are many. So variables
// of one shape are stacked there, and a formula runs once for all of them. Two passes
// over memory more are the price, which large tensors are not worth.

const (
	// stackedNumbers bounds the size of a variable in a stack.
	stackedNumbers = 1 << 22
	// stackedVariables is how many tensors the runtime joins or parts in one kernel
	// without a list of them that it has to upload first.
	stackedVariables = 32
)

// stackedState is a state tensor of a stack, and those that it consists of.
type stackedState struct {
	whole *State
	parts []State
}

// stacked is Forward with variables of one shape stacked.
func (b *builder) stacked(vars []Variable, inv *graph.Value, step update) Result {
	g := b.g
	r := Result{Values: make([]*graph.Value, len(vars))}
	groups := stacks(vars)
	all := make([]measured, len(groups))
	for i, at := range groups {
		b.prefixed(vars, at, func() { all[i] = b.measureStack(pick(vars, at), inv) })
	}
	r.GradNorm = b.norm(all, func(v measured) *graph.Value { return v.grad2 })
	r.WeightNorm = b.norm(all, func(v measured) *graph.Value { return v.weight2 })
	r.Finite = finite(g, g.Add(r.GradNorm, r.WeightNorm)) // neither is negative: nothing cancels
	for i, at := range groups {
		b.prefixed(vars, at, func() {
			b.zero = g.Mul(all[i].grad2, g.Float(0))
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

// stacks divides variables by shape, in the order in which shapes come up. Large ones
// stand alone.
func stacks(vars []Variable) (groups [][]int) {
	open := map[string]int{} // the group that takes the next of a shape
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

// measureStack is measure for one stack, or one variable that stands alone.
func (b *builder) measureStack(vars []Variable, inv *graph.Value) measured {
	if len(vars) == 1 {
		d := b.g.Mul(vars[0].Grad, inv)
		return measured{vars[0], d, b.sumSquares(d), b.sumSquares(vars[0].Value), nil}
	}
	values, grads := make([]*graph.Value, len(vars)), make([]*graph.Value, len(vars))
	for i, v := range vars {
		values[i], grads[i] = v.Value, v.Grad
	}
	v := measured{Variable: Variable{vars[0].Name, b.stackOf(values), b.stackOf(grads)}, stack: vars}
	v.d = b.g.Mul(v.Grad, inv)
	v.grad2, v.weight2 = b.squares(v, v.d), b.squares(v, v.Value)
	return v
}

// stackOf joins k tensors of n numbers each as [k, n].
func (b *builder) stackOf(xs []*graph.Value) *graph.Value {
	return b.g.Reshape(b.g.Concat(0, xs...), len(xs), xs[0].Elements())
}

// unstack parts x [k, n] into tensors of the shapes of vars.
func (b *builder) unstack(x *graph.Value, vars []Variable) []*graph.Value {
	if len(vars) == 1 {
		return []*graph.Value{x}
	}
	shape := append([]int{len(vars) * vars[0].Value.Shape[0]}, vars[0].Value.Shape[1:]...)
	return b.g.Split(b.g.Reshape(x, shape...), 0, len(vars))
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

// unstackState gives the parts of the last stack's state their new values.
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

// stackedNorm is norm where squares may be of stacks.
func (b *builder) stackedNorm(all []measured, part func(measured) *graph.Value) *graph.Value {
	g := b.g
	var sums []*graph.Value
	for _, v := range all {
		s := part(v)
		if v.stack != nil {
			s = g.ReduceSum(s, false, 0, 1)
		}
		sums = append(sums, s)
	}
	return g.Reshape(g.Sqrt(g.Sum(sums...)), 1)
}
