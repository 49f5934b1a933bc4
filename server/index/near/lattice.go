package near

import (
	"math"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// lattice maps a row's coordinates along axes to a point of small integers. It subtracts a mean,
// rotates, clamps and rounds; of these only rounding can increase the distance between two rows,
// measured in steps.
type lattice struct {
	axes   *sketch.Axes
	n      int       // number of axes
	center []float64 // [n]
	step   float64   // size of one unit of a point
}

// reach is the largest number of a point in standard deviations, taken over all axes: few numbers
// are clamped, and rounding moves the others little.
const reach = 4

// newLattice chooses a step for rows like those of a sample whose mean has been subtracted.
func newLattice(axes *sketch.Axes, n int, mean []float32, sample stats.Matrix) lattice {
	l := lattice{axes: axes, n: n, center: make([]float64, n), step: 1}
	along, squares := make([]float32, n), 0.0
	for i := range sample.N {
		axes.Along(along, sample.Row(i))
		for _, v := range along {
			squares += float64(v) * float64(v)
		}
	}
	if deviation := math.Sqrt(squares / float64(scan.PointCodes*sample.N)); deviation > 0 {
		l.step = max(deviation*reach/scan.MaxPoint, 1e-9)
	}
	axes.Along(along, mean)
	for s, v := range along {
		l.center[s] = float64(v)
	}
	return l
}

// round sets codes to the point of a row with the coordinates along, and returns how many steps
// rounding has moved it.
func (l *lattice) round(codes *[scan.PointCodes]int8, along []float32) (moved float64) {
	var x [scan.PointCodes]float64
	for s, v := range along {
		x[s] = (float64(v) - l.center[s]) / l.step
	}
	turn(&x)
	for k, v := range x {
		v = max(-scan.MaxPoint, min(scan.MaxPoint, v))
		whole := math.RoundToEven(v)
		codes[k] = int8(whole)
		moved += (v - whole) * (v - whole)
	}
	return math.Sqrt(moved)
}

// turn multiplies by an orthonormal Hadamard matrix. It evens out coordinates most of which are
// small, and numbers of similar size lose least by rounding.
func turn(x *[scan.PointCodes]float64) {
	for half := 1; half < len(x); half *= 2 {
		for from := 0; from < len(x); from += 2 * half {
			a, b := x[from:from+half], x[from+half:from+2*half]
			for i := range a {
				a[i], b[i] = a[i]+b[i], a[i]-b[i]
			}
		}
	}
	for i := range x {
		x[i] *= 1. / 8 // 1/√64
	}
}
