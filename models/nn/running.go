package nn

import (
	"fmt"
	"slices"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// observation is the contribution of a batch to a running statistic: value times factor. In a Scope
// with Views, value is [views, C] and counts as one observation per view, in order.
type observation struct {
	value  *graph.Value
	views  int
	factor float64
}

// Observe moves a running statistic by bnMomentum towards value times factor. On CUDA it leaves
// that to Settle, which updates many statistics at once; until then Statistic returns the value
// before the step.
func (s *Scope) Observe(name string, value *graph.Value, factor float64) {
	g, p := s.G, s.set.byName[s.prefix+name]
	if g.Device == tensor.CUDA {
		p.observed = append(p.observed, observation{value, max(s.Views, 1), factor})
		return
	}
	p.Out = g.Add(g.Mul(p.Out, g.Float(1-bnMomentum)), g.Mul(value, g.Float(bnMomentum*factor)))
}

// joined is how many tensors the runtime concatenates in one kernel.
const joined = 32

// Settle sets Out of every statistic to its value after all observations.
func (s *Scope) Settle() {
	if s.G.CustomOps {
		s.G.Prefix("running", s.settleTogether)
		return
	}
	open := map[string][]*Param{}
	var order []string
	for _, p := range s.Params() {
		if len(p.observed) == 0 {
			continue
		}
		key := fmt.Sprint(p.Shape, len(p.observed))
		for i := 1; len(open[key]) == joined; i++ {
			key = fmt.Sprint(p.Shape, len(p.observed), i)
		}
		if open[key] == nil {
			order = append(order, key)
		}
		open[key] = append(open[key], p)
	}
	for i, key := range order {
		s.G.Prefix(fmt.Sprintf("running%d", i+1), func() { settle(s.G, open[key]) })
	}
}

// settleTogether is Settle by an operator that updates all statistics with the same pattern of
// observations at once, whatever their shapes.
func (s *Scope) settleTogether() {
	open, order := map[string][]*Param{}, []string{}
	for _, p := range s.Params() {
		if len(p.observed) == 0 {
			continue
		}
		var views []int
		for _, o := range p.observed {
			views = append(views, o.views)
		}
		key := fmt.Sprint(views)
		if open[key] == nil {
			order = append(order, key)
		}
		open[key] = append(open[key], p)
	}
	for _, key := range order {
		blend(s.G, open[key])
	}
}

// blend is settle for statistics of any shapes with the same pattern of observations, at most two.
func blend(g *graph.Graph, ps []*Param) {
	lists, sources := make([][]*graph.Value, len(ps[0].observed)+1), 1
	for _, o := range ps[0].observed {
		sources += o.views
	}
	weights := make([]float32, sources*len(ps))
	for j, p := range ps {
		keep, source := 1.0, sources
		for i, o := range slices.Backward(p.observed) {
			lists[i+1] = append(lists[i+1], o.value)
			for range o.views {
				source--
				weights[source*len(ps)+j] = float32(keep * bnMomentum * o.factor)
				keep *= 1 - bnMomentum
			}
		}
		lists[0] = append(lists[0], p.In)
		weights[j] = float32(keep)
	}
	w := g.Const(ps[0].Name+".weights", func() *tensor.Tensor { return tensor.Of(weights, sources, len(ps)) })
	for i, v := range g.Blend(w, lists...) {
		ps[i].Out, ps[i].observed = v, nil
	}
}

// settle updates statistics with the same shape and number of observations. With two observations,
// x and then y, r becomes 0.81 r + 0.09 x + 0.1 y.
func settle(g *graph.Graph, ps []*Param) {
	stack := func(pick func(*Param) *graph.Value) *graph.Value {
		values := make([]*graph.Value, len(ps))
		for i, p := range ps {
			values[i] = pick(p)
		}
		return g.Reshape(g.Concat(0, values...), len(ps), ps[0].Shape[0])
	}
	n := len(ps[0].observed)
	keep, weight := 1.0, bnMomentum
	terms := make([]*graph.Value, n+1)
	for i := n - 1; i >= 0; i-- {
		factors := make([]float32, len(ps))
		for j, p := range ps {
			factors[j] = float32(weight * p.observed[i].factor)
		}
		column := g.Const(fmt.Sprintf("running.factors(%v)", factors), func() *tensor.Tensor { return tensor.Of(factors, len(ps), 1) })
		terms[i+1] = g.Mul(stack(func(p *Param) *graph.Value { return p.observed[i].value }), column)
		keep, weight = keep*(1-bnMomentum), weight*(1-bnMomentum)
	}
	terms[0] = g.Mul(stack(func(p *Param) *graph.Value { return p.In }), g.Float(keep))
	after := g.Reshape(g.Sum(terms...), len(ps)*ps[0].Shape[0])
	for i, v := range g.Split(after, 0, len(ps)) {
		ps[i].Out, ps[i].observed = v, nil
	}
}
