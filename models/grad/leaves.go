package grad

import (
	"fmt"
	"slices"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// joined is how many tensors the runtime concatenates or splits in one kernel.
const joined = 32

// leaves holds, by graph input, the gradients that wait to be added up together in a graph for
// CUDA; every view contributes one to each parameter. Where operators take many tensors at once
// (see listed), all gradients wait. Elsewhere only those of rank 1 do, such as the gains and shifts
// of normalisations: adding up some hundred of them one by one would launch as many kernels for
// next to no work, so those of one length are concatenated, added up and split again.
type leaves map[*graph.Value][]*graph.Value

// of returns the graph input for which the gradient of v can wait, since nothing reads it before
// the end: v itself, or the float32 input that v was cast from. It is nil if the gradient cannot
// wait.
func (leaves) of(g *graph.Graph, v *graph.Value, wrt []*graph.Value) *graph.Value {
	leaf := v
	if together(g) && v.Type.Half() && !slices.Contains(wrt, v) {
		leaf = unrounded(v)
	}
	waits := leaf.Rank() == 1 || together(g) && leaf.Rank() > 1
	if g.Device == tensor.CUDA && waits && leaf.Node == nil && leaf.Data == nil && leaf.Type == tensor.Float32 {
		return leaf
	}
	return nil
}

// together reports whether the graph has operators that take many tensors at once.
func together(g *graph.Graph) bool { return g.Device == tensor.CUDA && g.CustomOps }

// sums adds up the gradients that have waited, for each value of wrt that has any.
func (l leaves) sums(g *graph.Graph, wrt []*graph.Value) map[*graph.Value]*graph.Value {
	if together(g) {
		return l.listed(g, wrt)
	}
	open := map[string][]*graph.Value{}
	var order []string
	for _, v := range wrt {
		parts := len(l[v])
		if parts == 0 {
			continue
		}
		key := fmt.Sprint(v.Shape, parts)
		for i := 1; len(open[key]) == joined; i++ {
			key = fmt.Sprint(v.Shape, parts, i)
		}
		if open[key] == nil {
			order = append(order, key)
		}
		open[key] = append(open[key], v)
	}
	sums := map[*graph.Value]*graph.Value{}
	for _, key := range order {
		for i, d := range l.addJoined(g, open[key]) {
			sums[open[key][i]] = d
		}
	}
	return sums
}

// addJoined adds up the gradients of each of vs, which agree in shape and number of gradients.
func (l leaves) addJoined(g *graph.Graph, vs []*graph.Value) []*graph.Value {
	if len(l[vs[0]]) == 1 {
		all := make([]*graph.Value, len(vs))
		for i, v := range vs {
			all[i] = l[v][0]
		}
		return all
	}
	var total *graph.Value
	for part := range l[vs[0]] {
		of := make([]*graph.Value, len(vs))
		for i, v := range vs {
			of[i] = l[v][part]
		}
		list := of[0]
		if len(of) > 1 {
			list = g.Concat(0, of...)
		}
		if total != nil {
			list = g.Add(total, list)
		}
		total = list
	}
	if len(vs) == 1 {
		return []*graph.Value{total}
	}
	return g.Split(total, 0, len(vs))
}
