package indexing

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// Rows are compared in tiles: so many, as queries, with so many others. Products of a
// tile stay in the processor's own cache.
const (
	tileQueries = 32
	tileRows    = 2048
)

// longest is no less than the length of a vector that was brought to length 1.
const longest = 1.0001

// near joins rows, of length 1 or 0, whose product is at least least, and rows that are
// joined through others: the result names for each row the lowest one it is joined to.
// It is exact: products of 8-bit codes only tell which pairs need no look. progress is
// told how many rows have been compared with all; it may be called from several
// goroutines.
func near(ctx context.Context, m stats.Matrix, least float32, progress func(done int)) ([]int, error) {
	codes := make([]int8, m.N*m.D)
	scale, residual := make([]float32, m.N), make([]float32, m.N)
	for i := range m.N {
		scale[i], residual[i] = scan.Quantize(codes[i*m.D:(i+1)*m.D], m.Row(i))
	}
	t := &tiles{m: m, least: least, codes: codes, scale: scale, residual: residual, joined: newForest(m.N)}
	var next, done atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			out := make([]int32, tileQueries*tileRows)
			for {
				begin := int(next.Add(tileQueries)) - tileQueries
				if begin >= m.N || ctx.Err() != nil {
					return ctx.Err()
				}
				end := min(begin+tileQueries, m.N)
				t.compare(begin, end, out)
				progress(int(done.Add(int64(end - begin))))
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	roots := make([]int, m.N)
	for i := range roots {
		roots[i] = int(t.joined.find(uint32(i)))
	}
	return roots, nil
}

// tiles is a comparison of all rows with all.
type tiles struct {
	m               stats.Matrix
	least           float32
	codes           []int8
	scale, residual []float32
	joined          *forest
}

// compare joins the rows from begin to end with those after them.
func (t *tiles) compare(begin, end int, out []int32) {
	queries := make([]*scan.Query, end-begin)
	for i := range queries {
		queries[i] = scan.NewQuery(t.m.Row(begin + i))
	}
	for from := begin; from < t.m.N; from += tileRows {
		to := min(from+tileRows, t.m.N)
		n := to - from
		scan.Products(out[:len(queries)*n], queries, t.codes[from*t.m.D:to*t.m.D])
		for i, q := range queries {
			t.judge(begin+i, q, from, out[i*n:(i+1)*n])
		}
	}
}

// judge looks at the products of row i with those from from on.
func (t *tiles) judge(i int, q *scan.Query, from int, products []int32) {
	base, slope := q.Margin(longest)
	scale, residual := t.scale[from:][:len(products)], t.residual[from:][:len(products)]
	for k, p := range products {
		if q.Scale*scale[k]*float32(p)+base+slope*residual[k] < t.least {
			continue
		}
		j := from + k
		if j > i && t.joined.find(uint32(i)) != t.joined.find(uint32(j)) && scan.Dot(t.m.Row(i), t.m.Row(j)) >= t.least {
			t.joined.join(uint32(i), uint32(j))
		}
	}
}

// forest is sets of numbers that are joined two at a time. Any number of goroutines may
// use it at once.
type forest struct{ parents []atomic.Uint32 }

func newForest(n int) *forest {
	f := &forest{make([]atomic.Uint32, n)}
	for i := range f.parents {
		f.parents[i].Store(uint32(i))
	}
	return f
}

// find is the lowest number that i is joined to.
func (f *forest) find(i uint32) uint32 {
	for {
		p := f.parents[i].Load()
		if p == i {
			return i
		}
		if above := f.parents[p].Load(); above != p { // a shorter way for the next
			f.parents[i].CompareAndSwap(p, above)
		}
		i = p
	}
}

func (f *forest) join(i, j uint32) {
	for {
		i, j = f.find(i), f.find(j)
		if i == j || f.parents[max(i, j)].CompareAndSwap(max(i, j), min(i, j)) {
			return
		}
	}
}
