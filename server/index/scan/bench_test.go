package scan

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

const benchRows = 100_000

// The memory read per second, with one pass over the rows.
func BenchmarkDots(b *testing.B) {
	for _, d := range []int{64, 512, 2048} {
		b.Run(fmt.Sprintf("d=%d", d), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			q, rows, out := gaussian(r, d), make([]float32, benchRows*d), make([]float32, benchRows)
			repeat(rows, gaussian(r, 1<<16))
			b.SetBytes(4 * benchRows * int64(d))
			for b.Loop() {
				Dots(out, q, rows)
			}
		})
	}
}

// Rows in random order, as many as a search ranks again.
func BenchmarkDotsAt(b *testing.B) {
	const d, n = 512, 1000
	r := rand.New(rand.NewPCG(1, 1))
	q, rows, out := gaussian(r, d), make([]float32, benchRows*d), make([]float32, n)
	repeat(rows, gaussian(r, 1<<16))
	at := make([]uint32, n)
	b.SetBytes(4 * n * d)
	for b.Loop() {
		for i := range at {
			at[i] = r.Uint32N(benchRows)
		}
		DotsAt(out, q, rows, at)
	}
}

// Also the time per query when many are processed at once.
func BenchmarkProducts(b *testing.B) {
	for _, k := range kernels {
		for _, d := range []int{64, 512, 2048} {
			for _, n := range []int{1, 4, 32} {
				b.Run(fmt.Sprintf("%s/d=%d/queries=%d", k.name, d, n), func(b *testing.B) { benchmarkProducts(b, k, d, n) })
			}
		}
	}
}

func benchmarkProducts(b *testing.B, k kernel, d, n int) {
	best := active
	defer func() { active = best }()
	active = k
	r := rand.New(rand.NewPCG(1, 1))
	some := make([]int8, 1<<16)
	Quantize(some[:MaxDim], gaussian(r, MaxDim))
	codes, out, queries := make([]int8, benchRows*d), make([]int32, n*benchRows), make([]*Query, n)
	repeat(codes, some)
	for j := range queries {
		queries[j] = NewQuery(gaussian(r, d))
	}
	b.SetBytes(benchRows * int64(d))
	for b.Loop() {
		Products(out, queries, codes)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/query")
}

func BenchmarkQuantize(b *testing.B) {
	x, codes := gaussian(rand.New(rand.NewPCG(1, 1)), 512), make([]int8, 512)
	b.SetBytes(4 * 512)
	for b.Loop() {
		Quantize(codes, x)
	}
}

func repeat[T any](dst, src []T) {
	for len(dst) > 0 {
		dst = dst[copy(dst, src):]
	}
}
