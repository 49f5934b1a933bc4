package nn

import (
	"math"
	"math/rand/v2"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// PyTorch's constants for batch normalisation.
const (
	bnEps      = 1e-5
	bnMomentum = 0.1
)

// Constant fills with one value.
func Constant(x float64) Init {
	return func(*rand.Rand, int, int) float64 { return x }
}

// KaimingNormalFanOut is torchvision's initialisation of ResNet convolutions
// (He et al., 2015).
func KaimingNormalFanOut(r *rand.Rand, _, fanOut int) float64 {
	return r.NormFloat64() * math.Sqrt(2/float64(fanOut))
}

// uniform is PyTorch's default for linear layers: U(-1/sqrt(k), 1/sqrt(k)).
func uniform(k int) Init {
	bound := 1 / math.Sqrt(float64(k))
	return func(r *rand.Rand, _, _ int) float64 { return (2*r.Float64() - 1) * bound }
}

// Activation is an activation function: "relu", "gelu" or "identity".
type Activation string

// Apply applies the activation; "" is the identity.
func (a Activation) Apply(g *graph.Graph, x *graph.Value) *graph.Value {
	switch a {
	case "relu":
		return g.Relu(x)
	case "gelu":
		return g.Gelu(x)
	case "", "identity":
		return x
	}
	g.Fail("Activation", "unknown activation %q", string(a))
	return nil
}

// Norm configures the normalisation behind a layer.
type Norm struct {
	ZeroInit   bool         // start with gamma 0, so that a residual branch starts closed
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
	w := s.Sub(conv).Param("weight", KaimingNormalFanOut, shape...)
	if s.Mode == Eval {
		return BatchNorm(s.Sub(norm), s.G.Conv(x, w, nil, win, 1), n)
	}
	return BatchNorm(s.Sub(norm), grad.Conv(s.G, x, w, win), n)
}

// BatchNorm normalises x [N, C, H, W] or [N, C] per channel, then adds the
// residual and applies the activation.
func BatchNorm(s *Scope, x *graph.Value, n Norm) *graph.Value {
	g, c := s.G, x.Shape[1]
	gain := 1.0
	if n.ZeroInit {
		gain = 0
	}
	gamma, beta := s.Param("weight", Constant(gain), c), s.Param("bias", Constant(0), c)
	mean, variance := s.Statistic("running_mean", 0, c), s.Statistic("running_var", 1, c)
	if s.Mode == Eval {
		return finish(g, g.BatchNormalization(x, gamma, beta, mean, variance, bnEps), n)
	}
	relu := n.Activation == "relu"
	y, m, v := grad.BatchNorm(g, x, gamma, beta, grad.BatchNormOptions{Eps: bnEps, Residual: n.Residual, Relu: relu})
	count := float64(x.Elements() / c)
	s.Update("running_mean", g.Add(g.Mul(mean, g.Float(1-bnMomentum)), g.Mul(m, g.Float(bnMomentum))))
	unbiased := bnMomentum * count / (count - 1)
	s.Update("running_var", g.Add(g.Mul(variance, g.Float(1-bnMomentum)), g.Mul(v, g.Float(unbiased))))
	if relu {
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

// Linear is x [N, C] times weight [M, C] transposed, plus bias [M] when asked.
func Linear(s *Scope, x *graph.Value, m int, bias bool) *graph.Value {
	c := x.Shape[1]
	w := s.Param("weight", uniform(c), m, c)
	var b *graph.Value
	if bias {
		b = s.Param("bias", uniform(c), m)
	}
	return s.G.Gemm(x, w, b, graph.GemmAttr{TransB: true})
}

// Normalize turns pixels uint8 [N, H, W, 3] into float32 [N, 3, H, W] with
// (pixel/255 - mean) / std per channel.
func Normalize(g *graph.Graph, pixels *graph.Value, mean, std [3]float64) *graph.Value {
	scale, shift := make([]float32, 3), make([]float32, 3)
	for i := range 3 {
		scale[i] = float32(1 / (255 * std[i]))
		shift[i] = float32(-mean[i] / std[i])
	}
	x := g.Cast(g.Transpose(pixels, 0, 3, 1, 2), tensor.Float32)
	sc := g.Const("pixels.scale", func() *tensor.Tensor { return tensor.Of(scale) })
	sh := g.Const("pixels.shift", func() *tensor.Tensor { return tensor.Of(shift) })
	return g.BatchNormalization(x, sc, sh, g.Full(0, 3), g.Full(1, 3), 0)
}
