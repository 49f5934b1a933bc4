package stats

import (
	"fmt"
	"math"
)

// columnMeans is [D].
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

// ColumnStd is the standard deviation of each dimension over the rows, unbiased
// (N-1): [D]. NaN with fewer than two rows.
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

// NormalizedStd is the mean over the dimensions of the standard deviation of the
// rows brought to length 1. A healthy run is near 1/sqrt(D), a collapsed one near
// 0 (Chen and He 2021, section 4.1).
func NormalizedStd(m Matrix) float64 {
	sum := 0.0
	for _, s := range ColumnStd(m.Normalized()) {
		sum += s
	}
	return sum / float64(m.D)
}

// ShareBelow is the share of dimensions whose standard deviation is below a
// level; those of a healthy VICReg embedding hover near 1, and 0.5 is the level
// to ask for.
func ShareBelow(m Matrix, level float64) float64 {
	below := 0
	for _, s := range ColumnStd(m) {
		if !(s >= level) { // a NaN is not healthy
			below++
		}
	}
	return float64(below) / float64(m.D)
}

// MeanAbsCorrelation is the mean absolute correlation of all pairs of different
// dimensions. A dimension that never varies has none and is left out; constant
// tells how many those are. NaN with fewer than two others.
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

// standardized is m turned around, [live D, N]: every row a dimension, centred
// and of length 1, so that inner products are correlations.
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

// Alignment compares two views of the same images, row by row. Without the
// invariance term every other measure may look healthy; these two do not.
type Alignment struct {
	Cosine    float64 // mean cosine of partners
	Retrieval float64 // share of rows of a whose most similar row of b is its partner
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
