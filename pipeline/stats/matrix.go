// Package stats measures vectors: nearest neighbours, spectra and signs of collapse. It is shared
// by evaluation, the vector index and reports. Its functions keep no state, modify no argument
// unless documented, use all cores, and return the same bits on any number of cores. Mismatched
// sizes are programming errors and panic.
package stats

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Matrix is [N, D], row-major, one vector per row.
type Matrix struct {
	N, D int
	Data []float32 // N*D elements
}

// New returns a zeroed matrix.
func New(n, d int) Matrix { return Matrix{n, d, make([]float32, n*d)} }

// Of wraps data without copying; it panics if the length is not n*d.
func Of(data []float32, n, d int) Matrix {
	if n < 0 || d < 0 || len(data) != n*d {
		panic(fmt.Sprintf("stats: %d elements do not fill [%d, %d]", len(data), n, d))
	}
	return Matrix{n, d, data}
}

// Row returns vector i, sharing memory with the matrix.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.D : (i+1)*m.D : (i+1)*m.D] }

// rows returns vectors i to j-1, sharing memory with the matrix.
func (m Matrix) rows(i, j int) Matrix { return Matrix{j - i, m.D, m.Data[i*m.D : j*m.D]} }

// Normalized returns a copy of m with every row scaled to Euclidean length 1; zero rows stay zero.
func (m Matrix) Normalized() Matrix {
	out := New(m.N, m.D)
	copy(out.Data, m.Data)
	for i := range m.N {
		Unit(out.Row(i))
	}
	return out
}

// Norm is the Euclidean length of v. It is not finite if an element is not.
func Norm(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// Unit scales v to length 1 in place. It leaves a zero vector unchanged and returns false.
func Unit(v []float32) bool {
	norm := Norm(v)
	if norm == 0 {
		return false
	}
	scale := 1 / norm
	for i, x := range v {
		v[i] = float32(float64(x) * scale)
	}
	return true
}

// Subtract subtracts mean, which has the same length, from v in place.
func Subtract(v, mean []float32) {
	for i, x := range mean {
		v[i] -= x
	}
}

// finite reports whether m holds neither NaN nor infinity.
func (m Matrix) finite() bool {
	for _, v := range m.Data {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// products computes a bᵀ, the inner products of all rows of a with all rows of b, in the first
// a.N*b.N elements of buf and returns them as a matrix.
func products(a, b Matrix, buf []float32) Matrix {
	c := Of(buf[:a.N*b.N], a.N, b.N)
	if len(c.Data) == 0 || a.D == 0 {
		clear(c.Data)
		return c
	}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, a.general(), b.general(), 0, c.general())
	return c
}

func (m Matrix) general() blas32.General {
	return blas32.General{Rows: m.N, Cols: m.D, Stride: m.D, Data: m.Data}
}

// parallel calls work on all cores for blocks [begin, end) of at most size elements that cover 0 to
// n. The blocks do not depend on the number of cores.
func parallel(n, size int, work func(begin, end int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	blocks := (n + size - 1) / size
	for range min(blocks, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < blocks; i = int(next.Add(1)) - 1 {
				work(i*size, min((i+1)*size, n))
			}
		})
	}
	wg.Wait()
}
