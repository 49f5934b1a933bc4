package nn

import (
	"math"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// PyTorch's constants for batch normalisation.
const (
	bnEps      = 1e-5
	bnMomentum = 0.1
)

// Norm configures the normalisation after a layer.
type Norm struct {
	ZeroInit   bool         // gamma starts at 0, so that a residual branch contributes nothing at first
	Residual   *graph.Value // added after the normalisation; nil for none
	Activation Activation   // applied last; "" for none
}

// ConvNorm is a convolution without bias to m channels followed by batch
// normalisation, residual sum and activation: x [N, C, H, W] to [N, M, OH, OW].
// conv and norm are the names of the two layers.
func ConvNorm(s *Scope, x *graph.Value, conv, norm string, m int, win graph.Window, n Norm) *graph.Value {
	shape := []int{m, x.Shape[1], win.KH, win.KW}
	if s.Mode == Frozen {
		return finish(s.G, foldedConv(s, x, conv, norm, shape, win), n)
	}
	w := inType(x, s.G, s.Sub(conv).Param("weight", KaimingNormalFanOut, shape...))
	s = s.Sub(norm)
	if s.Mode == Eval {
		return BatchNorm(s, s.G.Conv(s.G.ToPlain(x), w, nil, win, 1), n)
	}
	p := newNormParams(s, m, n)
	y, mean, variance := grad.ConvNorm(s.G, x, w, win, p.gamma, p.beta, n.options(s))
	p.update(s, mean, variance, y.Elements()/m*s.G.Normalized.Processes())
	return n.activate(s.G, y)
}

// BatchNorm normalises x [N, C, H, W] or [N, C] per channel, then adds the
// residual and applies the activation.
func BatchNorm(s *Scope, x *graph.Value, n Norm) *graph.Value {
	c := x.Shape[1]
	p := newNormParams(s, c, n)
	if s.Mode == Eval {
		typed := func(v *graph.Value) *graph.Value { return inType(x, s.G, v) }
		return finish(s.G, s.G.BatchNormalization(x, typed(p.gamma), typed(p.beta), typed(p.mean), typed(p.variance), bnEps), n)
	}
	y, mean, variance := grad.BatchNorm(s.G, x, p.gamma, p.beta, n.options(s))
	p.update(s, mean, variance, x.Elements()/c*s.G.Normalized.Processes())
	return n.activate(s.G, y)
}

// normParams are the parameters of a normalisation and its running statistics.
type normParams struct{ gamma, beta, mean, variance *graph.Value }

func newNormParams(s *Scope, c int, n Norm) (p normParams) {
	gain := 1.0
	if n.ZeroInit {
		gain = 0
	}
	p.gamma, p.beta = s.Param("weight", Constant(gain), c), s.Param("bias", Constant(0), c)
	p.mean, p.variance = s.Statistic("running_mean", 0, c), s.Statistic("running_var", 1, c)
	return p
}

// update moves the running statistics towards those of the batches, which have count values per
// channel in total.
func (p normParams) update(s *Scope, mean, variance *graph.Value, count int) {
	count /= max(s.Views, 1)
	s.Observe("running_mean", mean, 1)
	s.Observe("running_var", variance, float64(count)/float64(count-1))
}

// options fuse what the normalisation of package grad supports.
func (n Norm) options(s *Scope) grad.BatchNormOptions {
	return grad.BatchNormOptions{Eps: bnEps, Residual: n.Residual, Relu: n.Activation == "relu", Groups: s.Views}
}

// activate applies the activation unless options has fused it.
func (n Norm) activate(g *graph.Graph, y *graph.Value) *graph.Value {
	if n.Activation == "relu" {
		return y
	}
	return n.Activation.Apply(g, y)
}

// finish adds the residual and applies the activation outside of training.
func finish(g *graph.Graph, y *graph.Value, n Norm) *graph.Value {
	if n.Residual != nil {
		y = g.Add(y, n.Residual)
	}
	return n.Activation.Apply(g, y)
}

// foldedConv folds the normalisation by running statistics into the weights and
// a bias, in float64.
func foldedConv(s *Scope, x *graph.Value, conv, norm string, shape []int, win graph.Window) *graph.Value {
	m := shape[0]
	w, bn := s.Sub(conv).frozen("weight", shape...), s.Sub(norm)
	gamma, beta := bn.frozen("weight", m), bn.frozen("bias", m)
	mean, variance := bn.frozen("running_mean", m), bn.frozen("running_var", m)
	folded, bias := make([]float32, len(w)), make([]float32, m)
	per := len(w) / m
	for o := range m {
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+bnEps)
		bias[o] = float32(float64(beta[o]) - float64(mean[o])*scale)
		for i := o * per; i < (o+1)*per; i++ {
			folded[i] = float32(float64(w[i]) * scale)
		}
	}
	name := s.prefix + conv
	weight := s.G.Const(name+".weight", func() *tensor.Tensor { return tensor.Of(folded, shape...) })
	shift := s.G.Const(name+".bias", func() *tensor.Tensor { return tensor.Of(bias, m) })
	return s.G.Conv(x, weight, shift, win, 1)
}
