package stats

import (
	"math"

	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// SingularValues returns the min(N, D) singular values of m, uncentred, largest first. They are
// computed from the smaller Gram matrix in float64, so values below 1e-8 of the largest are noise.
// All are NaN if m holds a NaN or an infinity.
func SingularValues(m Matrix) []float64 {
	values := make([]float64, min(m.N, m.D))
	if !m.finite() {
		for i := range values {
			values[i] = math.NaN()
		}
		return values
	}
	if len(values) == 0 {
		return values
	}
	eigen, _ := decompose(gram(m, make([]float64, m.D)), false)
	for i, v := range eigen {
		values[i] = math.Sqrt(max(v, 0))
	}
	return values
}

// RankMe is the smooth rank of Garrido et al. 2023, equation 1: the exponential of the entropy of
// the singular values, each divided by their sum, plus 1e-7. It lies between 1 and min(N, D) and is
// only comparable within one run, at the same N. NaN if m is zero or not finite.
func RankMe(m Matrix) float64 {
	values := SingularValues(m)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	if !(sum > 0) {
		return math.NaN()
	}
	entropy := 0.0
	for _, v := range values {
		p := v/sum + 1e-7
		entropy -= p * math.Log(p)
	}
	return math.Exp(entropy)
}

// PCA holds principal axes.
type PCA struct {
	Mean     []float64 // [D]
	Axes     Matrix    // [K, D], orthonormal rows; the entry of largest magnitude in each is positive
	Variance []float64 // [K], along each axis, unbiased (N-1), largest first
	Total    float64   // over all D axes
}

// FitPCA finds the k axes of largest variance among the rows of m; k is capped at what N rows can
// span, min(N-1, D). m must be finite.
func FitPCA(m Matrix, k int) PCA {
	mean := columnMeans(m)
	p := PCA{Mean: mean}
	k = max(0, min(k, m.N-1, m.D))
	p.Axes = New(k, m.D)
	if k == 0 {
		return p
	}
	g := gram(m, mean)
	eigen, vectors := decompose(g, true)
	for i := range g.SymmetricDim() {
		p.Total += g.At(i, i) / float64(m.N-1)
	}
	column := make([]float64, g.SymmetricDim())
	for i := range k {
		mat.Col(column, len(column)-1-i, vectors) // gonum sorts in ascending order
		axis := column
		if m.N < m.D {
			axis = combine(m, mean, column)
		}
		store(p.Axes.Row(i), axis)
		p.Variance = append(p.Variance, max(eigen[i], 0)/float64(m.N-1))
	}
	return p
}

// Project returns the coordinates of the rows of m on the axes: [N, K].
func (p PCA) Project(m Matrix) Matrix {
	out := New(m.N, p.Axes.N)
	for i := range m.N {
		for a := range p.Axes.N {
			axis, sum := p.Axes.Row(a), 0.0
			for j, v := range m.Row(i) {
				sum += (float64(v) - p.Mean[j]) * float64(axis[j])
			}
			out.Row(i)[a] = float32(sum)
		}
	}
	return out
}

// gram returns xᵀx or xxᵀ for x = m - mean, whichever is smaller, in float64.
func gram(m Matrix, mean []float64) *mat.SymDense {
	x := make([]float64, len(m.Data))
	for i := range m.N {
		for j, v := range m.Row(i) {
			x[i*m.D+j] = float64(v) - mean[j]
		}
	}
	dense := mat.NewDense(m.N, m.D, x)
	var g mat.SymDense
	if m.N < m.D {
		g.SymOuterK(1, dense)
	} else {
		g.SymOuterK(1, dense.T())
	}
	return &g
}

// decompose returns the eigenvalues in descending order, and the eigenvectors as columns in
// ascending order of eigenvalue.
func decompose(g *mat.SymDense, wantVectors bool) ([]float64, *mat.Dense) {
	var e mat.EigenSym
	if !e.Factorize(g, wantVectors) {
		panic("stats: no eigenvalues of a finite symmetric matrix")
	}
	up := e.Values(nil)
	down := make([]float64, len(up))
	for i, v := range up {
		down[len(up)-1-i] = v
	}
	var vectors mat.Dense
	if wantVectors {
		e.VectorsTo(&vectors)
	}
	return down, &vectors
}

// combine maps an eigenvector of xxᵀ, over the rows, to one of xᵀx, over the columns.
func combine(m Matrix, mean, weights []float64) []float64 {
	axis := make([]float64, m.D)
	for i, w := range weights {
		for j, v := range m.Row(i) {
			axis[j] += w * (float64(v) - mean[j])
		}
	}
	if norm := blas64.Nrm2(blas64.Vector{N: len(axis), Inc: 1, Data: axis}); norm > 0 {
		for j := range axis {
			axis[j] /= norm
		}
	}
	return axis
}

// store rounds an axis to float32, with its sign chosen so that the entry of largest magnitude is
// positive.
func store(row []float32, axis []float64) {
	sign, largest := 1.0, 0.0
	for _, v := range axis {
		if math.Abs(v) > largest {
			largest, sign = math.Abs(v), math.Copysign(1, v)
		}
	}
	for j, v := range axis {
		row[j] = float32(sign * v)
	}
}
