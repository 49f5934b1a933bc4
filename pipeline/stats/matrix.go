// Package stats measures vectors: nearest neighbours, spectra and the signs of a
// collapse. Evaluation, the vector index and reports share it. Its functions
// keep no state, change no argument unless they say so, use all cores and give
// the same bits whatever the number of cores. Sizes that cannot belong together
// are programming mistakes and panic.
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

// Matrix is [N, D], row-major, one vector a row.
type Matrix struct {
	N, D int
	Data []float32 // N*D elements
}

// New returns a zeroed matrix.
func New(n, d int) Matrix { return Matrix{n, d, make([]float32, n*d)} }

// Of wraps data, without a copy; it panics when the length is not n*d.
func Of(data []float32, n, d int) Matrix {
	if n < 0 || d < 0 || len(data) != n*d {
		panic(fmt.Sprintf("stats: %d elements do not fill [%d, %d]", len(data), n, d))
	}
	return Matrix{n, d, data}
}

// Row is vector i, shared with the matrix.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.D : (i+1)*m.D : (i+1)*m.D] }

// rows are vectors i to j, shared with the matrix.
func (m Matrix) rows(i, j int) Matrix { return Matrix{j - i, m.D, m.Data[i*m.D : j*m.D]} }

// Normalized returns m with every row at Euclidean length 1; a zero row stays.
func (m Matrix) Normalized() Matrix {
	out := New(m.N, m.D)
	copy(out.Data, m.Data)
	for i := range m.N {
		Unit(out.Row(i))
	}
	return out
}

// Norm is the Euclidean length of v. It is not finite where an element is not.
func Norm(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// Unit scales v to length 1 in place. A zero vector stays, and gives false.
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

// Subtract takes mean, of the same length, off v in place.
func Subtract(v, mean []float32) {
	for i, x := range mean {
		v[i] -= x
	}
}

// finite tells whether m holds no NaN and no infinity.
func (m Matrix) finite() bool {
	for _, v := range m.Data {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// products writes a bᵀ, the inner products of all rows of a with all rows of b,
// into the first a.N*b.N elements of buf and returns them as a matrix.
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

// parallel calls work with every block [begin, end) of n, at most size long, on
// all cores. The blocks do not depend on the number of cores.
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
