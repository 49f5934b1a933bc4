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
	attrs := []Attr{{"eps", n.Eps}, {"relu", bit(n.Relu)}}
	if n.Groups > 1 {
		attrs = append(attrs, Attr{"groups", n.Groups})
	}
	return attrs
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
	if x.Shape[0]%max(n.Groups, 1) != 0 {
		g.Fail("BatchNorm", "%d images in %d groups", x.Shape[0], n.Groups)
	}
	in, outputs := []*Value{x, gamma, beta}, []*Value{like(x), n.statistic(x), n.statistic(x), n.statistic(x)}
	if n.Residual != nil {
		if !n.Relu || !alike(n.Residual, x) {
			g.Fail("BatchNorm", "a residual of %v%v for %v%v, with ReLU: %v", n.Residual.Type, n.Residual.Shape, x.Type, x.Shape, n.Relu)
		}
		in = append(in, n.Residual)
		outputs = append(outputs, &Value{Type: tensor.Uint8, Shape: []int{x.Elements() / masked(x)}})
	}
	out := g.op(DomainCUDA, "BatchNorm", n.attrs(), in, outputs...)
	y := Normalized{Y: out[0], Mean: out[1], Variance: out[2], Istd: out[3]}
	if n.Residual != nil {
		y.Mask = out[4]
	}
	return y
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
