package graph

import (
	"slices"

	"vicreg/models/tensor"
)

// The operators of this file are vicreg's own, in CUDA: batch normalisation fused with what follows
// it, in two passes over memory. x is [N, C, H, W] in the NHWC layout or [N, C]; parameters and
// their gradients are float32 [C], statistics float32 [C] or [Groups, C].

// Norm configures a normalisation: Eps is added to the variance, Residual (nil for none, and only
// with ReLU) after the normalisation, and ReLU comes last. The images of x form Groups of equal
// size, each normalised by its own statistics; 0 means one group.
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

// divides fails if the images do not divide evenly into groups.
func (n Norm) divides(g *Graph, op string, x *Value) {
	if x.Shape[0]%max(n.Groups, 1) != 0 {
		g.Fail(op, "%d images in %d groups", x.Shape[0], n.Groups)
	}
}

// statistic is a float32 value for each channel of x and each group.
func (n Norm) statistic(x *Value) *Value {
	shape := []int{x.Shape[1]}
	if n.Groups > 1 {
		shape = []int{n.Groups, x.Shape[1]}
	}
	return &Value{Type: tensor.Float32, Shape: shape}
}

// Normalized is the result of a normalisation: y, the batch's mean, biased variance and
// 1/sqrt(variance+eps), and with a residual the mask of what passed ReLU.
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

// Normalize is NormalizeBatch of a result of CudnnConvMoments, with the statistics it came with.
func (g *Graph) Normalize(x Normalized, gamma, beta *Value, n Norm) Normalized {
	in, outputs := n.residual(g, "Normalize", x.Y, []*Value{x.Y, gamma, beta, x.Mean, x.Istd}, []*Value{like(x.Y)})
	out := g.op(DomainCUDA, "Normalize", n.grouped([]Attr{{"relu", bit(n.Relu)}}), in, outputs...)
	y := Normalized{Y: out[0], Mean: x.Mean, Variance: x.Variance, Istd: x.Istd}
	if n.Residual != nil {
		y.Mask = out[1]
	}
	return y
}

// residual adds the residual and the mask to the inputs and outputs of a normalisation of x, if it
// has a residual.
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

// masked is how many elements of x share a byte of a mask.
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

// NormGrads are the gradients of NormalizeBatch; Residual is nil if there was none.
type NormGrads struct{ X, Gamma, Beta, Residual *Value }

// NormalizeBatchGrad computes NormGrads from the gradient with respect to y, which is dy + more;
// more may be nil. y is what NormalizeBatch returned for x.
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

// rowsOf fails unless the memory of x consists of rows of channels.
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
