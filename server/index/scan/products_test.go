package scan

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestProducts(t *testing.T) {
	forEach(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, d := range dims() {
			for n := range 10 {
				queries := make([]*Query, 1+(n+d)%9)
				for j := range queries {
					queries[j] = NewQuery(gaussian(r, d))
				}
				checkProducts(t, r, queries, d, n)
			}
		}
	})
}

// The largest sums that codes can have.
func TestProductsOfExtremes(t *testing.T) {
	forEach(t, func(t *testing.T) {
		for _, d := range []int{1, 63, 64, 65, 2048, MaxDim} {
			high, low := slices.Repeat([]float32{1}, d), slices.Repeat([]float32{-1}, d)
			queries := []*Query{NewQuery(high), NewQuery(low)}
			out := make([]int32, 6)
			codes := slices.Concat(slices.Repeat([]int8{127}, d), slices.Repeat([]int8{-127}, d), slices.Repeat([]int8{-128}, d))
			Products(out, queries, codes)
			p, last := int32(d*2047*127), int32(d*2047*128)
			if want := []int32{p, -p, -last, -p, p, last}; !slices.Equal(out, want) {
				t.Errorf("D=%d: %v, want %v", d, out, want)
			}
		}
	})
}

// Many rows and queries are processed in blocks.
func TestProductsInBlocks(t *testing.T) {
	forEach(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		const d = 2000
		for _, count := range []int{4, 5, 11} {
			queries := make([]*Query, count)
			for j := range queries {
				queries[j] = NewQuery(gaussian(r, d))
			}
			checkProducts(t, r, queries, d, 2*blockBytes/d+3)
		}
	})
}

// checkProducts compares with a plain loop. Codes take all values of an int8.
func checkProducts(t *testing.T, r *rand.Rand, queries []*Query, d, n int) {
	t.Helper()
	pad := 1 + r.IntN(3)
	codes := make([]int8, pad+n*d)[pad:]
	for i := range codes {
		codes[i] = int8(r.Uint32())
	}
	all := slices.Repeat([]int32{-1}, n*len(queries)+2)
	out := all[1 : len(all)-1]
	Products(out, queries, codes)
	for j, q := range queries {
		for i := range n {
			var want int32
			for k, c := range codes[i*d : (i+1)*d] {
				want += int32(c) * int32(q.codes[k])
			}
			if got := out[j*n+i]; got != want {
				t.Fatalf("D=%d: row %d of %d, query %d of %d: %d, want %d", d, i, n, j, len(queries), got, want)
			}
		}
	}
	if all[0] != -1 || all[len(all)-1] != -1 {
		t.Fatalf("D=%d: %d rows went beyond their slice", d, n)
	}
}
