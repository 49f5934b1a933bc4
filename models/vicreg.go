package models

import (
	"fmt"

	"vicreg/models/graph"
	"vicreg/models/nn"
)

// Expander maps representations to embeddings: Linear, BatchNorm and activation for every width but
// the last, which is Linear without bias. It exists for the loss alone and is discarded after
// training.
type Expander struct {
	Widths     []int // "8192-8192-8192" in the paper
	Activation nn.Activation
}

// Forward maps y [N, D] to z [N, last width]. The names are those of the
// authors' nn.Sequential: 0 linear, 1 norm, (2 activation), 3 linear, ...
func (e Expander) Forward(s *nn.Scope, y *graph.Value) *graph.Value {
	last := len(e.Widths) - 1
	for i, width := range e.Widths {
		linear := s.Sub(fmt.Sprint(3 * i))
		y = nn.Linear(linear, y, width, i < last) // [N, width]
		if i < last {
			y = nn.BatchNorm(s.Sub(fmt.Sprint(3*i+1)), y, nn.Norm{Activation: e.Activation})
		}
	}
	return y
}

// Loss holds the coefficients of the VICReg loss; 25, 25 and 1 in the paper.
// Source: Bardes, Ponce and LeCun, 2022, and the authors' main_vicreg.py, which
// is followed where the two differ.
type Loss struct {
	Invariance, Variance, Covariance float64
}

// Terms are the unweighted parts of the loss and their weighted sum, [1] each.
type Terms struct {
	Loss, Invariance, Variance, Covariance *graph.Value
}

// varianceEps keeps the gradient of the square root finite.
const varianceEps = 1e-4

// Forward computes the loss of two views' embeddings z, z' [N, D].
func (l Loss) Forward(g *graph.Graph, z, z2 *graph.Value) Terms {
	diff := g.Sub(z, z2)
	// A mean over N and D, as in the authors' code; the paper's equation has no 1/D.
	invariance := scale(g, g.ReduceSumSquare(diff, false, 0, 1), 1/float64(z.Elements()))
	v, c := varianceAndCovariance(g, z)
	v2, c2 := varianceAndCovariance(g, z2)
	t := Terms{
		Invariance: g.Reshape(invariance, 1),
		// The authors' code halves the variance term, the paper does not.
		Variance:   g.Reshape(scale(g, g.Add(v, v2), 0.5), 1),
		Covariance: g.Reshape(g.Add(c, c2), 1),
	}
	t.Loss = g.Add(g.Add(scale(g, t.Invariance, l.Invariance), scale(g, t.Variance, l.Variance)), scale(g, t.Covariance, l.Covariance))
	return t
}

// varianceAndCovariance returns the variance hinge and the covariance term of one view's z [N, D].
func varianceAndCovariance(g *graph.Graph, z *graph.Value) (variance, covariance *graph.Value) {
	n, d := z.Shape[0], z.Shape[1]
	zc := g.Sub(z, g.ReduceMean(z, true, 0))                               // [N, D]
	v := scale(g, g.ReduceSumSquare(zc, false, 0), 1/float64(n-1))         // [D]
	std := g.Sqrt(g.Add(v, g.Float(varianceEps)))                          // [D]
	hinge := g.ReduceMean(g.Relu(g.Sub(g.Float(1), std)), false, 0)        // []
	off := g.Sub(squaredCovariance(g, zc), g.ReduceSumSquare(v, false, 0)) // []
	return hinge, scale(g, off, 1/float64(d))
}

// squaredCovariance is the squared Frobenius norm of C = zc^T zc / (N-1). The N x N Gram matrix has
// the same norm as the D x D matrix, so the smaller one is built.
func squaredCovariance(g *graph.Graph, zc *graph.Value) *graph.Value {
	n, d := zc.Shape[0], zc.Shape[1]
	return frobenius(g, zc, n < d)
}

// frobenius is ||zc zc^T||^2/(N-1)^2 if gram is set, else ||zc^T zc||^2/(N-1)^2. Dividing before
// squaring keeps large batches in range.
func frobenius(g *graph.Graph, zc *graph.Value, gram bool) *graph.Value {
	m := g.FusedMatMul(zc, zc, !gram, gram, float32(1/float64(zc.Shape[0]-1)))
	return g.ReduceSumSquare(m, false, 0, 1)
}

func scale(g *graph.Graph, x *graph.Value, by float64) *graph.Value {
	if by == 1 {
		return x
	}
	return g.Mul(x, g.Float(by))
}
