package stats

import (
	"fmt"
	"math"
)

// columnMeans returns the mean of each column: [D].
func columnMeans(m Matrix) []float64 {
	mean := make([]float64, m.D)
	for i := range m.N {
		for j, v := range m.Row(i) {
			mean[j] += float64(v)
		}
	}
	for j := range mean {
		mean[j] /= float64(m.N)
	}
	return mean
}

// ColumnStd returns the unbiased (N-1) standard deviation of each column: [D]. NaN with fewer than
// two rows.
func ColumnStd(m Matrix) []float64 {
	mean, std := columnMeans(m), make([]float64, m.D)
	for i := range m.N {
		for j, v := range m.Row(i) {
			d := float64(v) - mean[j]
			std[j] += d * d
		}
	}
	for j := range std {
		std[j] = math.Sqrt(std[j] / float64(m.N-1))
	}
	return std
}

// NormalizedStd is the mean over the dimensions of the standard deviation of the L2-normalised
// rows. A healthy run is near 1/sqrt(D), a collapsed one near 0 (Chen and He 2021, section 4.1).
func NormalizedStd(m Matrix) float64 {
	sum := 0.0
	for _, s := range ColumnStd(m.Normalized()) {
		sum += s
	}
	return sum / float64(m.D)
}

// ShareBelow is the fraction of dimensions whose standard deviation is below level. In a healthy
// VICReg embedding they hover near 1, which makes 0.5 a sensible level.
func ShareBelow(m Matrix, level float64) float64 {
	below := 0
	for _, s := range ColumnStd(m) {
		if !(s >= level) { // counts NaN as below
			below++
		}
	}
	return float64(below) / float64(m.D)
}

// MeanAbsCorrelation is the mean absolute correlation over all pairs of different dimensions.
// Dimensions that never vary have no correlation and are left out; constant counts them. NaN with
// fewer than two others.
func MeanAbsCorrelation(m Matrix) (mean float64, constant int) {
	z := standardized(m)
	constant = m.D - z.N
	const block = 256
	sums := make([]float64, (z.N+block-1)/block)
	parallel(z.N, block, func(begin, end int) {
		buf := make([]float32, block*block)
		for at := 0; at < z.N; at += block {
			c := products(z.rows(begin, end), z.rows(at, min(at+block, z.N)), buf)
			for i := range c.N {
				for j, v := range c.Row(i) {
					if begin+i != at+j {
						sums[begin/block] += math.Abs(float64(v))
					}
				}
			}
		}
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return total / (float64(z.N) * float64(z.N-1)), constant
}

// standardized returns m transposed, [live D, N]: each row is a dimension, centred and of length 1,
// so that inner products are correlations.
func standardized(m Matrix) Matrix {
	mean, std := columnMeans(m), ColumnStd(m)
	z := Matrix{D: m.N}
	for j := range m.D {
		if std[j] == 0 {
			continue
		}
		scale := 1 / (std[j] * math.Sqrt(float64(m.N-1)))
		for i := range m.N {
			z.Data = append(z.Data, float32((float64(m.Data[i*m.D+j])-mean[j])*scale))
		}
		z.N++
	}
	return z
}

// Alignment compares two views of the same images, row by row. Without the invariance term all
// other measures can look healthy; these two cannot.
type Alignment struct {
	Cosine    float64 // mean cosine of the two views of an image
	Retrieval float64 // fraction of rows of a whose most similar row of b is the same image
}

// Align measures a against b, both [N, D] in the same order.
func Align(a, b Matrix) Alignment {
	if a.N != b.N || a.D != b.D {
		panic(fmt.Sprintf("stats: views [%d, %d] and [%d, %d] differ in size", a.N, a.D, b.N, b.D))
	}
	x, y := a.Normalized(), b.Normalized()
	var out Alignment
	for i, v := range x.Data {
		out.Cosine += float64(v) * float64(y.Data[i])
	}
	for i, near := range Neighbors(b, a, 1) {
		if near[0].Index == i {
			out.Retrieval++
		}
	}
	out.Cosine /= float64(a.N)
	out.Retrieval /= float64(a.N)
	return out
}
