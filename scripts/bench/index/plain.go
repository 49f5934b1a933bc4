package main

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/stats"
	"vicreg/server/index/scan"
)

// plain joins rows whose product is at least least by comparing all pairs: first products of 8-bit
// codes in bulk, then products of the vectors for the candidates. The result equals that of
// near.Join.
func plain(ctx context.Context, m stats.Matrix, least float32) ([]int, error) {
	p := &pairs{m: m, least: least, codes: make([]int8, m.N*m.D), scale: make([]float32, m.N), residual: make([]float32, m.N)}
	for i := range m.N {
		p.scale[i], p.residual[i] = scan.Quantize(p.codes[i*m.D:(i+1)*m.D], m.Row(i))
	}
	var next atomic.Int64
	found := make([]sets, runtime.GOMAXPROCS(0))
	group, ctx := errgroup.WithContext(ctx)
	for t := range found {
		found[t] = newSets(m.N)
		group.Go(func() error {
			out := make([]int32, tileQueries*tileRows)
			for begin := int(next.Add(tileQueries)) - tileQueries; begin < m.N && ctx.Err() == nil; begin = int(next.Add(tileQueries)) - tileQueries {
				p.compare(begin, min(begin+tileQueries, m.N), out, found[t])
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range m.N {
		for _, s := range found[1:] {
			found[0].join(i, s.find(i))
		}
	}
	for i := range m.N {
		found[0].find(i)
	}
	return found[0], nil
}

// Rows are compared in tiles of tileQueries by tileRows. The products of a tile fit in a core's own
// cache.
const tileQueries, tileRows = 32, 2048

// pairs compares all rows with all others.
type pairs struct {
	m               stats.Matrix
	least           float32
	codes           []int8
	scale, residual []float32
}

// compare joins the rows from begin to end with those after them.
func (p *pairs) compare(begin, end int, out []int32, found sets) {
	queries := make([]*scan.Query, end-begin)
	for i := range queries {
		queries[i] = scan.NewQuery(p.m.Row(begin + i))
	}
	for from := begin; from < p.m.N; from += tileRows {
		to := min(from+tileRows, p.m.N)
		n := to - from
		scan.Products(out[:len(queries)*n], queries, p.codes[from*p.m.D:to*p.m.D])
		for i, q := range queries {
			p.judge(begin+i, q, from, out[i*n:(i+1)*n], found)
		}
	}
}

// judge examines the products of row i with the rows from from on.
func (p *pairs) judge(i int, q *scan.Query, from int, products []int32, found sets) {
	base, slope := q.Margin(1.0001)
	scale, residual := p.scale[from:][:len(products)], p.residual[from:][:len(products)]
	for k, product := range products {
		if q.Scale*scale[k]*float32(product)+base+slope*residual[k] < p.least {
			continue
		}
		if j := from + k; j > i && found.find(i) != found.find(j) && scan.Dot(p.m.Row(i), p.m.Row(j)) >= p.least {
			found.join(i, j)
		}
	}
}

// sets is a union-find forest: each number points to a lower one of its set, or to itself.
type sets []int

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// find returns the lowest number of i's set, compressing the path.
func (s sets) find(i int) int {
	root := i
	for s[root] != root {
		root = s[root]
	}
	for s[i] != root {
		s[i], i = root, s[i]
	}
	return root
}

func (s sets) join(i, j int) {
	i, j = s.find(i), s.find(j)
	s[max(i, j)] = min(i, j)
}
