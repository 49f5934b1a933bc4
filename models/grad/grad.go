// Package grad differentiates graphs in reverse mode: a table from operator to
// rule and one small driver, which adds the nodes of the backward pass to the
// graph it walks. Layers whose gradient has a better formula than the one their
// operators would give (convolution, batch normalisation, pooling) are
// composites, built here beside their rule.
package grad

import (
	"maps"
	"slices"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Call is one application of a rule: the node to differentiate and the gradient with respect to
// each of its outputs, nil where the result does not depend on that output. Need marks the inputs
// whose gradient is needed; a rule may skip the others.
type Call struct {
	*graph.Node
	G    *graph.Graph
	Dy   []*graph.Value
	Need []bool
}

// Rule returns the gradient with respect to each input, nil for an input that has none. Shapes may
// be those of the output: the driver sums over broadcast axes.
type Rule func(c *Call) []*graph.Value

// Gradients adds to g the gradient of y, seeded with dy (of y's shape), with respect to each value
// of wrt, and returns them in order: nil where y does not depend on the value. An operator without
// a rule panics with *graph.Error.
func Gradients(g *graph.Graph, y, dy *graph.Value, wrt []*graph.Value) []*graph.Value {
	nodes := slices.Clone(g.Nodes)
	needed := reachable(nodes, wrt)
	grads, waiting := map[*graph.Value]*graph.Value{y: dy}, leaves{}
	for _, n := range slices.Backward(nodes) {
		c := &Call{Node: n, G: g}
		if !c.prepare(grads, needed) {
			continue
		}
		rule, ok := rules[n.Key()]
		if !ok {
			panic(&graph.Error{Op: n.Op, Node: n.Name, Caller: n.Caller, Reason: "no gradient rule for " + n.Key()})
		}
		g.Prefix("grad/"+n.Name, func() {
			for i, dx := range rule(c) {
				if dx == nil || !c.Need[i] {
					continue
				}
				v := n.Inputs[i]
				dx = unbroadcast(g, dx, v)
				if leaf := waiting.of(g, v, wrt); leaf != nil {
					waiting[leaf] = append(waiting[leaf], dx)
				} else {
					accumulate(g, grads, v, dx)
				}
			}
		})
	}
	g.Prefix("grad", func() { maps.Copy(grads, waiting.sums(g, wrt)) })
	out := make([]*graph.Value, len(wrt))
	for i, v := range wrt {
		out[i] = grads[v]
	}
	return out
}

// prepare collects the output gradients and reports whether the node has anything to differentiate.
func (c *Call) prepare(grads map[*graph.Value]*graph.Value, needed map[*graph.Value]bool) bool {
	any := false
	for _, v := range c.Outputs {
		c.Dy = append(c.Dy, grads[v])
		any = any || grads[v] != nil
	}
	want := false
	for _, v := range c.Inputs {
		c.Need = append(c.Need, v != nil && needed[v])
		want = want || v != nil && needed[v]
	}
	return any && want
}

// reachable marks the values that depend on one of wrt.
func reachable(nodes []*graph.Node, wrt []*graph.Value) map[*graph.Value]bool {
	marked := map[*graph.Value]bool{}
	for _, v := range wrt {
		marked[v] = true
	}
	for _, n := range nodes {
		if slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return v != nil && marked[v] }) {
			for _, v := range n.Outputs {
				marked[v] = true
			}
		}
	}
	return marked
}

// accumulate adds dx to the gradient of v. If v was cast from float32, as parameters are, its
// gradients are accumulated in float32, except for products that sum may merge.
func accumulate(g *graph.Graph, grads map[*graph.Value]*graph.Value, v, dx *graph.Value) {
	if unrounded(v) != v && !overRows(dx.Node) {
		dx = g.Cast(dx, tensor.Float32)
	}
	if old := grads[v]; old != nil {
		dx = sum(g, old, dx)
	}
	grads[v] = dx
}

// sum is a + b. On CUDA, two equal transpositions are summed before transposing. Two products over
// the rows of a batch, such as the gradients of weights that both views use, become one product
// over the rows of both where those are smaller than the result, which is then written once. The
// nodes of the parts are left without users and drop out of the model.
func sum(g *graph.Graph, a, b *graph.Value) *graph.Value {
	p, q := a.Node, b.Node
	if g.Device == tensor.CUDA && transposes(p) && transposes(q) && slices.Equal(p.Attr("perm").([]int), q.Attr("perm").([]int)) {
		return g.Transpose(sum(g, p.Inputs[0], q.Inputs[0]), p.Attr("perm").([]int)...)
	}
	if !oneProduct(p, q) {
		return g.Add(a, b)
	}
	both := func(i int) *graph.Value { return g.Concat(0, p.Inputs[i], q.Inputs[i]) }
	return g.Gemm(both(0), both(1), nil, graph.GemmAttr{TransA: true, Alpha: p.Attr("alpha").(float32)})
}

// transposes reports whether a node permutes the axes of a plain value.
func transposes(n *graph.Node) bool {
	return n != nil && n.Key() == "Transpose" && n.Inputs[0].Layout == tensor.Plain && n.Outputs[0].Layout == tensor.Plain
}

// oneProduct reports whether two products over rows can be merged.
func oneProduct(p, q *graph.Node) bool {
	return overRows(p) && overRows(q) && p.Attr("alpha") == q.Attr("alpha") && p.Inputs[0].Type == q.Inputs[0].Type
}

// overRows reports whether a node is a Gemm that sums over the rows of two
// matrices which are together no larger than the result.
func overRows(n *graph.Node) bool {
	return n != nil && n.Key() == "Gemm" && len(n.Inputs) == 2 && n.Attr("transA") == 1 && n.Attr("transB") == 0 &&
		n.Inputs[0].Elements()+n.Inputs[1].Elements() <= n.Outputs[0].Elements()
}

// unbroadcast sums dx over the axes along which x was broadcast.
func unbroadcast(g *graph.Graph, dx, x *graph.Value) *graph.Value {
	if slices.Equal(dx.Shape, x.Shape) {
		return dx
	}
	lead := dx.Rank() - x.Rank()
	var axes []int
	for i := range dx.Shape {
		if i < lead || x.Shape[i-lead] == 1 && dx.Shape[i] != 1 {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 { // in float32: too many addends for half precision
		dx = g.Cast(g.ReduceSum(g.Cast(dx, tensor.Float32), true, axes...), dx.Type)
	}
	return g.Reshape(dx, x.Shape...)
}
