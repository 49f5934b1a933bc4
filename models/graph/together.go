package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// HalvesTogether replaces the Casts of graph inputs to a half-precision type, one per input, by a
// single node at the front of a finished graph: a kernel for one bias does little but start.
// Gradients must be added before, since they look for the Casts.
func (g *Graph) HalvesTogether(t tensor.DType) {
	live := g.live()
	var inputs, copies []*Value
	g.Nodes = without(g.Nodes, func(n *Node) bool {
		if !halves(n, t) || !live[n.Outputs[0]] {
			return false
		}
		inputs, copies = append(inputs, n.Inputs[0]), append(copies, n.Outputs[0])
		return true
	})
	if len(copies) == 0 {
		return
	}
	g.halves(inputs, copies)
	last := len(g.Nodes) - 1
	g.Nodes = slices.Insert(g.Nodes[:last:last], 0, g.Nodes[last])
}

// halves reports whether a node casts an input of the graph to a type.
func halves(n *Node, t tensor.DType) bool {
	if n.Key() != "Cast" || n.Outputs[0].Type != t {
		return false
	}
	x := n.Inputs[0]
	return x.Node == nil && x.Data == nil && x.Type == tensor.Float32
}

// without removes the nodes for which out is true, inside composites too.
func without(nodes []*Node, out func(*Node) bool) []*Node {
	kept := nodes[:0]
	for _, n := range nodes {
		if n.Body = without(n.Body, out); !out(n) {
			kept = append(kept, n)
		}
	}
	return kept
}
