package grad

import (
	"fmt"
	"math/bits"

	"vicreg/models/graph"
	"vicreg/models/tensor"
)

// Sums over the rows of matrices [P, C] of a CUDA graph, P being all pixels of all images. The
// results are float32. In half precision the addends are read once, without a cast: a matrix
// product accumulates one chunk of rows at a time in float32, and only its result is rounded; the
// chunks are added up in float32. The runtime's own reductions would add in half precision, or
// first copy everything to float32. For the same reason a sum of products is the diagonal of a
// matrix product: the other elements are free as long as the operands are narrow enough for memory
// bandwidth to be the limit.

// chunkRows bounds the rows of a chunk. There are at least fewestChunks chunks if there are enough
// rows: their rounding errors average out.
const (
	chunkRows    = 4096
	fewestChunks = 32
)

// headroom is the power of two by which a mean of squares is scaled down before it is rounded to
// half precision, which then holds root mean squares up to 1024 and is accurate down to 0.01.
const headroom = 4

// sumOfRows is sum a, [C].
func sumOfRows(g *graph.Graph, a *graph.Value) *graph.Value {
	if a.Type == tensor.Float32 {
		return g.ReduceSum(a, false, 0)
	}
	return addChunks(g, chunkOnes(g, a, 0), a.Shape[1])
}

// meanOfRows is (sum a)/P, [C].
func meanOfRows(g *graph.Graph, a *graph.Value) *graph.Value {
	if a.Type == tensor.Float32 {
		return g.ReduceMean(a, false, 0)
	}
	k := bits.Len(uint(chunk(a.Shape[0]) - 1))
	return meanOfChunks(g, chunkOnes(g, a, k), a, k, a.Shape[1])
}

// dotOfRows is sum a*b, element by element, [C].
func dotOfRows(g *graph.Graph, a, b *graph.Value) *graph.Value {
	if a.Type == tensor.Float32 {
		return g.ReduceSum(g.Mul(a, b), false, 0)
	}
	return addChunks(g, diagonals(g, chunkProducts(g, a, b, chunk(a.Shape[0]), 0)), a.Shape[1])
}

// squareOfRows is (sum a*a)/P, [C].
func squareOfRows(g *graph.Graph, a *graph.Value) *graph.Value {
	if a.Type == tensor.Float32 {
		return g.ReduceMean(g.Mul(a, a), false, 0)
	}
	k := bits.Len(uint(chunk(a.Shape[0])-1)) + headroom
	return meanOfChunks(g, diagonals(g, chunkProducts(g, a, a, chunk(a.Shape[0]), k)), a, k, a.Shape[1])
}

// gramOfRows is (sum a^T a)/P, [C, C].
func gramOfRows(g *graph.Graph, a *graph.Value) *graph.Value {
	p, c := a.Shape[0], a.Shape[1]
	if a.Type == tensor.Float32 {
		return g.FusedMatMul(a, a, true, false, float32(1/float64(p)))
	}
	k := bits.Len(uint(chunk(p)-1)) + headroom
	return g.Reshape(meanOfChunks(g, chunkProducts(g, a, a, chunk(p), k), a, k, c*c), c, c)
}

// productOfRows is sum a^T b of a [P, M] and b [P, K], [M, K]. If the result has too few tiles to
// occupy all multiprocessors, the rows are split into more chunks.
func productOfRows(g *graph.Graph, a, b *graph.Value) *graph.Value {
	p, m, k := a.Shape[0], a.Shape[1], b.Shape[1]
	if a.Type == tensor.Float32 {
		return g.Gemm(a, b, nil, graph.GemmAttr{TransA: true})
	}
	const tile, enough = 128, 264
	tiles := ((m + tile - 1) / tile) * ((k + tile - 1) / tile)
	length := chunkOf(p, max(chunkRows/4, p*tiles/enough))
	if length == p {
		return g.Cast(g.Gemm(a, b, nil, graph.GemmAttr{TransA: true}), tensor.Float32)
	}
	return g.Reshape(addChunks(g, chunkProducts(g, a, b, length, 0), m*k), m, k)
}

// chunk is the number of rows in a chunk of p rows.
func chunk(p int) int { return chunkOf(p, min(chunkRows, max(p/fewestChunks, 16))) }

// chunkOf is the largest divisor of p that is at most most, except that the largest power of two is
// preferred if it is more than half of most: a mean over it needs no extra factor. The result is p
// itself where every divisor would leave too many chunks.
func chunkOf(p, most int) int {
	two := p & -p
	for two > most {
		two /= 2
	}
	if 2*two > most {
		return two
	}
	for length := most; length > most/64; length-- {
		if p%length == 0 {
			return length
		}
	}
	return p
}

// chunkOnes is the sum of each chunk of a, times 2^-k: [S, C, 1].
func chunkOnes(g *graph.Graph, a *graph.Value, k int) *graph.Value {
	p, c := a.Shape[0], a.Shape[1]
	l := chunk(p)
	ones := g.Once(graph.Key{Made: fmt.Sprintf("ones(%v,%d)", a.Type, l)}, func() *graph.Value { return g.Cast(g.Full(1, l, 1), a.Type) })
	return g.FusedMatMul(g.Reshape(a, p/l, l, c), ones, true, false, power(-k))
}

// chunkProducts is a^T b for each chunk of l rows, times 2^-k: [S, M, K].
func chunkProducts(g *graph.Graph, a, b *graph.Value, l, k int) *graph.Value {
	view := func(x *graph.Value) *graph.Value { return g.Reshape(x, x.Shape[0]/l, l, x.Shape[1]) }
	return g.FusedMatMul(view(a), view(b), true, false, power(-k))
}

// diagonals returns the diagonals of x [S, C, C], as [S, C].
func diagonals(g *graph.Graph, x *graph.Value) *graph.Value {
	s, c := x.Shape[0], x.Shape[1]
	index := intIndex(g, fmt.Sprintf("diagonal(%d)", c), c, func(i int) int { return i * (c + 1) })
	return g.Gather(g.Reshape(x, s, c*c), index, 1)
}

// addChunks sums the chunks of x [S, ...], of n elements each, in float32.
func addChunks(g *graph.Graph, x *graph.Value, n int) *graph.Value {
	x = g.Cast(g.Reshape(x, x.Elements()/n, n), tensor.Float32)
	if x.Shape[0] == 1 {
		return g.Reshape(x, n)
	}
	return g.ReduceSum(x, false, 0)
}

// meanOfChunks turns sums over chunks of the rows of a, times 2^-k, into means.
func meanOfChunks(g *graph.Graph, x, a *graph.Value, k, n int) *graph.Value {
	x = g.Cast(g.Reshape(x, x.Elements()/n, n), tensor.Float32)
	if x.Shape[0] == 1 {
		x = g.Reshape(x, n)
	} else {
		x = g.ReduceMean(x, false, 0)
	}
	if factor := float64(int(1)<<k) / float64(chunk(a.Shape[0])); factor != 1 {
		x = g.Mul(x, g.Float(factor))
	}
	return x
}

// power is 2^k for k <= 0, which half precision represents down to 2^-24.
func power(k int) float32 {
	f := float32(1)
	for range -k {
		f /= 2
	}
	return f
}
