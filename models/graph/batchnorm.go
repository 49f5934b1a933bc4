package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file are vicreg's own, in CUDA: batch normalisation with what
// follows it, in two passes over memory. x is [N, C, H, W] in the NHWC layout or [N, C];
// parameters and their gradients are float32 [C], and so are statistics, or [Groups, C].

// Norm says what goes with a normalisation: eps is added to the variance, the residual
// (nil for none, and only with ReLU) after the normalisation, ReLU comes last. The images
// of x are in Groups of as many, 0 for one, each normalised by its own statistics.
type Norm struct {
	Eps      float32
	Residual *Value
	Relu     bool
	Groups   int
}

func (n Norm) attrs() []Attr {
	return n.grouped([]Attr{{"eps", n.Eps}, {"relu", bit(n.Relu)}})
}

func (n Norm) grouped(attrs []Attr) []Attr {
	if n.Groups > 1 {
		attrs = append(attrs, Attr{"groups", n.Groups})
	}
	return attrs
}

// divides fails for images that are not as many in each group.
func (n Norm) divides(g *Graph, op string, x *Value) {
	if x.Shape[0]%max(n.Groups, 1) != 0 {
		g.Fail(op, "%d images in %d groups", x.Shape[0], n.Groups)
	}
}

// statistic is a value for each channel of x and each group.
func (n Norm) statistic(x *Value) *Value {
	shape := []int{x.Shape[1]}
	if n.Groups > 1 {
		shape = []int{n.Groups, x.Shape[1]}
	}
	return &Value{Type: tensor.Float32, Shape: shape}
}

// Normalized is what a normalisation gives: y, the batch's mean, biased variance and
// 1/sqrt(variance+eps), and with a residual the mask of what ReLU has passed.
type Normalized struct{ Y, Mean, Variance, Istd, Mask *Value }

// NormalizeBatch normalises x by the statistics of the batch.
func (g *Graph) NormalizeBatch(x, gamma, beta *Value, n Norm) Normalized {
	g.rowsOf("BatchNorm", x)
	n.divides(g, "BatchNorm", x)
	in, outputs := n.residual(g, "BatchNorm", x, []*Value{x, gamma, beta}, []*Value{like(x), n.statistic(x), n.statistic(x), n.statistic(x)})
	out := g.op(DomainCUDA, "BatchNorm", n.attrs(), in, outputs...)
	y := Normalized{Y: out[0], Mean: out[1], Variance: out[2], Istd: out[3]}
	if n.Residual != nil {
		y.Mask = out[4]
	}
	return y
}

// Normalize is NormalizeBatch of what CudnnConvMoments has given, with its statistics.
func (g *Graph) Normalize(x Normalized, gamma, beta *Value, n Norm) Normalized {
	in, outputs := n.residual(g, "Normalize", x.Y, []*Value{x.Y, gamma, beta, x.Mean, x.Istd}, []*Value{like(x.Y)})
	out := g.op(DomainCUDA, "Normalize", n.grouped([]Attr{{"relu", bit(n.Relu)}}), in, outputs...)
	y := Normalized{Y: out[0], Mean: x.Mean, Variance: x.Variance, Istd: x.Istd}
	if n.Residual != nil {
		y.Mask = out[1]
	}
	return y
}

// residual adds to the inputs and outputs of a normalisation of x what comes with a residual.
func (n Norm) residual(g *Graph, op string, x *Value, in, outputs []*Value) (withIn, withOutputs []*Value) {
	r := n.Residual
	if r == nil {
		return in, outputs
	}
	if !n.Relu || !alike(r, x) {
		g.Fail(op, "a residual of %v%v for %v%v, with ReLU: %v", r.Type, r.Shape, x.Type, x.Shape, n.Relu)
	}
	return append(in, r), append(outputs, &Value{Type: tensor.Uint8, Shape: []int{x.Elements() / masked(x)}})
}

// masked is how many numbers of x share a byte of a mask.
func masked(x *Value) int {
	most := 4
	if x.Type.Half() {
		most = 8
	}
	if x.Shape[1]%most != 0 {
		return 1
	}
	return most
}

// NormGrads are the gradients of NormalizeBatch; the residual's is nil where there was
// none.
type NormGrads struct{ X, Gamma, Beta, Residual *Value }

// NormalizeBatchGrad gives them from that of y, which is dy + more; more may be nil. y is
// what NormalizeBatch has returned for x.
func (g *Graph) NormalizeBatchGrad(dy, more, x, gamma, beta *Value, y Normalized, n Norm) NormGrads {
	g.rowsOf("BatchNormGrad", x)
	if !alike(dy, x) || more != nil && !alike(more, x) {
		g.Fail("BatchNormGrad", "a gradient of %v%v for %v%v", dy.Type, dy.Shape, x.Type, x.Shape)
	}
	parameter := func() *Value { return &Value{Type: tensor.Float32, Shape: []int{x.Shape[1]}} }
	outputs := []*Value{like(x), parameter(), parameter()}
	if n.Residual != nil {
		outputs = append(outputs, like(x))
	}
	attrs := append(n.attrs(), Attr{"residual", bit(n.Residual != nil)})
	out := g.op(DomainCUDA, "BatchNormGrad", attrs, []*Value{dy, more, x, gamma, beta, y.Mean, y.Istd, y.Mask}, outputs...)
	grads := NormGrads{X: out[0], Gamma: out[1], Beta: out[2]}
	if n.Residual != nil {
		grads.Residual = out[3]
	}
	return grads
}

// rowsOf fails for values that are not rows of channels in memory.
func (g *Graph) rowsOf(op string, x *Value) {
	if x.Rank() != 2 {
		g.channelsLast(op, x)
	}
}

func like(x *Value) *Value {
	return &Value{Type: x.Type, Shape: slices.Clone(x.Shape), Layout: x.Layout}
}

func alike(a, b *Value) bool {
	return a.Type == b.Type && a.Layout == b.Layout && slices.Equal(a.Shape, b.Shape)
}
