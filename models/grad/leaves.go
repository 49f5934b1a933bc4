package grad

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// joined is how many tensors the runtime joins or divides in one kernel.
const joined = 32

// leaves are the gradients of small inputs of a graph for CUDA, such as the gains and
// shifts of normalisations, which every view adds one to. Adding up some hundred lists
// of numbers one by one would be as many kernels that do nothing but start, so those of
// one length are joined, added up together and divided again.
type leaves map[*graph.Value][]*graph.Value

// takes tells whether the gradients of v wait, which nothing then reads before the end.
func (leaves) takes(g *graph.Graph, v *graph.Value) bool {
	return g.Device == tensor.CUDA && v.Node == nil && v.Data == nil && v.Rank() == 1 && v.Type == tensor.Float32
}

// sums are the gradients of those of wrt that have waited.
func (l leaves) sums(g *graph.Graph, wrt []*graph.Value) map[*graph.Value]*graph.Value {
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
		for i, d := range l.together(g, open[key]) {
			sums[open[key][i]] = d
		}
	}
	return sums
}

// together adds up the gradients of each of vs, which have one shape and as many.
func (l leaves) together(g *graph.Graph, vs []*graph.Value) []*graph.Value {
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
