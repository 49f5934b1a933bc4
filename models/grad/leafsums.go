package grad

import (
	"slices"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// With operators that take many tensors at once, the gradients of all parameters wait to be added
// up together, those of weights as their products or convolutions return them, possibly in half
// precision. What would be a hundred sums with two casts each becomes one node per type.

// pair holds the two parts of a parameter's gradient, of one shape and type, and the nodes to
// reapply to their sum, the last one first.
type pair struct {
	of    *graph.Value
	parts [2]*graph.Value
	after []*graph.Node
}

// listed is sums by the operators that take many tensors at once.
func (l leaves) listed(g *graph.Graph, wrt []*graph.Value) map[*graph.Value]*graph.Value {
	sums, pairs := map[*graph.Value]*graph.Value{}, map[tensor.DType][]pair{}
	for _, v := range wrt {
		switch parts := l.parts(g, v); len(parts) {
		case 0:
		case 1:
			sums[v] = g.Cast(parts[0], tensor.Float32)
		default:
			p := alike(g, v, parts)
			pairs[p.parts[0].Type] = append(pairs[p.parts[0].Type], p)
		}
	}
	for _, t := range []tensor.DType{tensor.Float16, tensor.BFloat16, tensor.Float32} {
		addPairs(g, pairs[t], sums)
	}
	return sums
}

// addPairs adds up pairs of one type and enters the results into sums.
func addPairs(g *graph.Graph, pairs []pair, sums map[*graph.Value]*graph.Value) {
	if len(pairs) == 0 {
		return
	}
	var xs, zs []*graph.Value
	for _, p := range pairs {
		xs, zs = append(xs, p.parts[0]), append(zs, p.parts[1])
	}
	for i, y := range g.Sums(xs, zs) {
		for _, n := range slices.Backward(pairs[i].after) {
			y = again(g, n, y)
		}
		sums[pairs[i].of] = y
	}
}

// parts returns the values to add up for v, at most two. Products over the rows of a batch merge
// into one; more than two other values occur only for parameters with many uses.
func (l leaves) parts(g *graph.Graph, v *graph.Value) []*graph.Value {
	var parts []*graph.Value
	for _, x := range l[v] {
		x = unnarrowed(x)
		if last := len(parts) - 1; last >= 0 && oneProduct(parts[last].Node, x.Node) {
			parts[last] = sum(g, parts[last], x)
			continue
		}
		parts = append(parts, x)
	}
	for len(parts) > 2 {
		a, b := g.Cast(parts[0], tensor.Float32), g.Cast(parts[1], tensor.Float32)
		parts = append([]*graph.Value{g.Add(a, b)}, parts[2:]...)
	}
	return parts
}

// unnarrowed is x before it was cast to half precision.
func unnarrowed(x *graph.Value) *graph.Value {
	if v := unrounded(x); x.Type.Half() {
		return v
	}
	return x
}

// alike makes a pair of two parts: of one type, and traced back through the nodes that both share.
func alike(g *graph.Graph, v *graph.Value, parts []*graph.Value) pair {
	p := pair{of: v, parts: [2]*graph.Value{parts[0], parts[1]}}
	for {
		a, b := p.parts[0].Node, p.parts[1].Node
		if !linear(a) || !linear(b) || !sameNode(a, b) {
			break
		}
		if a.Op != "Cast" {
			p.after = append(p.after, a)
		}
		p.parts = [2]*graph.Value{a.Inputs[0], b.Inputs[0]}
	}
	if p.parts[0].Type != p.parts[1].Type {
		for i, x := range p.parts {
			p.parts[i] = g.Cast(x, tensor.Float32)
		}
	}
	return p
}

// linear reports whether a node only moves the elements of a plain value, or casts half precision
// to float32, which Sums does itself.
func linear(n *graph.Node) bool {
	if n == nil || n.Domain != "" || n.Inputs[0].Layout != tensor.Plain || n.Outputs[0].Layout != tensor.Plain {
		return false
	}
	switch n.Op {
	case "Reshape", "Transpose":
		return true
	case "Slice":
		return len(n.Inputs) == 4
	case "Cast":
		return n.Inputs[0].Type.Half() && n.Outputs[0].Type == tensor.Float32
	}
	return false
}

// sameNode reports whether two nodes do the same to values of one shape and type.
func sameNode(a, b *graph.Node) bool {
	x, z := a.Inputs[0], b.Inputs[0]
	return a.Op == b.Op && x.Type == z.Type && slices.Equal(x.Shape, z.Shape) && slices.Equal(a.Inputs[1:], b.Inputs[1:]) &&
		slices.EqualFunc(a.Attrs, b.Attrs, func(p, q graph.Attr) bool {
			ints, ok := p.Value.([]int)
			if !ok {
				return p == q
			}
			other, ok := q.Value.([]int)
			return ok && p.Name == q.Name && slices.Equal(ints, other)
		})
}

// again applies a linear node to x.
func again(g *graph.Graph, n *graph.Node, x *graph.Value) *graph.Value {
	switch n.Op {
	case "Reshape":
		return g.Reshape(x, n.Outputs[0].Shape...)
	case "Transpose":
		return g.Transpose(x, n.Attr("perm").([]int)...)
	}
	number := func(i int) int { return int(n.Inputs[i].Data.Data.([]int64)[0]) }
	return g.Slice(x, number(3), number(1), number(2))
}
