package nn

import (
	"math"
	"math/rand/v2"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Constant initialises every element to x.
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

// inType casts a parameter to the type of x, the input it is combined with. Parameters, their
// gradients and the statistics of normalisations are float32; convolutions and products compute in
// the type of their input.
func inType(x *graph.Value, g *graph.Graph, param *graph.Value) *graph.Value {
	return g.CastOnce(param, x.Type)
}

// Linear is x [N, C] times weight [M, C] transposed, plus bias [M] if bias is set.
func Linear(s *Scope, x *graph.Value, m int, bias bool) *graph.Value {
	c := x.Shape[1]
	w := inType(x, s.G, s.Param("weight", uniform(c), m, c))
	var b *graph.Value
	if bias {
		b = inType(x, s.G, s.Param("bias", uniform(c), m))
	}
	return s.G.Gemm(x, w, b, graph.GemmAttr{TransB: true})
}

// Normalize turns pixels uint8 [N, H, W, 3] into [N, 3, H, W] of type t with
// (pixel/255 - mean) / std per channel.
func Normalize(g *graph.Graph, pixels *graph.Value, mean, std [3]float64, t tensor.DType) *graph.Value {
	scale, shift := make([]float32, 3), make([]float32, 3)
	for i := range 3 {
		scale[i] = float32(1 / (255 * std[i]))
		shift[i] = float32(-mean[i] / std[i])
	}
	sc := g.Const("pixels.scale", func() *tensor.Tensor { return tensor.Of(scale) })
	sh := g.Const("pixels.shift", func() *tensor.Tensor { return tensor.Of(shift) })
	if g.Device == tensor.CUDA && g.CustomOps {
		return g.PixelValues(pixels, sc, sh, t, 3)
	}
	if g.Device == tensor.CUDA { // values are channels-last there, like the pixels
		n, h, w := pixels.Shape[0], pixels.Shape[1], pixels.Shape[2]
		last := g.FromRows(g.Cast(pixels, tensor.Float32), n, 3, h, w)
		return g.Cast(g.NormNHWC(last, sc, sh, g.Full(0, 3), g.Full(1, 3), 0), t)
	}
	x := g.Cast(g.Transpose(pixels, 0, 3, 1, 2), tensor.Float32)
	return g.Cast(g.BatchNormalization(x, sc, sh, g.Full(0, 3), g.Full(1, 3), 0), t)
}
