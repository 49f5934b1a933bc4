package nn

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// observation is what a batch says of a running statistic: value times factor.
type observation struct {
	value  *graph.Value
	factor float64
}

// Observe moves a running statistic by bnMomentum towards value times factor. On CUDA
// it does so in Settle, for many statistics at once; the value that Statistic returns
// is the one before the step there.
func (s *Scope) Observe(name string, value *graph.Value, factor float64) {
	g, p := s.G, s.set.byName[s.prefix+name]
	if g.Device == tensor.CUDA {
		p.observed = append(p.observed, observation{value, factor})
		return
	}
	p.Out = g.Add(g.Mul(p.Out, g.Float(1-bnMomentum)), g.Mul(value, g.Float(bnMomentum*factor)))
}

// joined is how many tensors the runtime joins in one kernel.
const joined = 32

// Settle makes Out of every statistic its value after all observations.
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

// settleTogether is Settle by an operator that takes all statistics with as many
// observations, of any shapes.
func (s *Scope) settleTogether() {
	open := map[int][]*Param{}
	for _, p := range s.Params() {
		open[len(p.observed)] = append(open[len(p.observed)], p)
	}
	for n := 1; n <= blended; n++ {
		if ps := open[n]; len(ps) > 0 {
			blend(s.G, ps)
		}
		delete(open, n)
	}
	delete(open, 0)
	for n := range open {
		s.G.Fail("Settle", "statistics with %d observations, more than %d", n, blended)
	}
}

// blended is how many observations of a statistic are taken together.
const blended = 2

// blend is settle for statistics of any shapes with as many observations.
func blend(g *graph.Graph, ps []*Param) {
	n := len(ps[0].observed)
	lists := make([][]*graph.Value, n+1)
	weights := make([]float32, (n+1)*len(ps))
	for j, p := range ps {
		keep := 1.0
		for i := n; i > 0; i-- {
			o := p.observed[i-1]
			lists[i] = append(lists[i], o.value)
			weights[i*len(ps)+j] = float32(keep * bnMomentum * o.factor)
			keep *= 1 - bnMomentum
		}
		lists[0] = append(lists[0], p.In)
		weights[j] = float32(keep)
	}
	w := g.Const(ps[0].Name+".weights", func() *tensor.Tensor { return tensor.Of(weights, n+1, len(ps)) })
	for i, v := range g.Blend(w, lists...) {
		ps[i].Out, ps[i].observed = v, nil
	}
}

// settle updates statistics of one shape and number of observations: of two, x and y,
// after one another, r becomes 0.81 r + 0.09 x + 0.1 y.
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
