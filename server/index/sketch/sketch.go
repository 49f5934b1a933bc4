package sketch

import (
	"context"

	"vicreg/server/index/scan"
)

// Sketches are what is kept of some vectors: 8 bits of each number along the axes, and
// three numbers.
type Sketches struct {
	Axes      *Axes
	codes     []int8    // [N, S]
	scales    []float32 // [N], of the codes
	residuals []float32 // [N], the length of what the codes lack
	rests     []float32 // [N], the length of what lies off the axes

	Off float64 // mean share of the vectors' squared length off the axes: 0 where the bound is the product, 1 where it says nothing
}

// Draw sketches vectors [N, D]. When ctx ends it returns nil.
func Draw(ctx context.Context, a *Axes, vectors []float32) *Sketches {
	n := len(vectors) / a.dim
	s := &Sketches{Axes: a, codes: make([]int8, n*a.n), scales: make([]float32, n), residuals: make([]float32, n), rests: make([]float32, n)}
	along := make([]float32, a.n)
	for i := range n {
		if i%64 == 0 && ctx.Err() != nil {
			return nil
		}
		x := vectors[i*a.dim : (i+1)*a.dim]
		a.along(along, x)
		s.scales[i], s.residuals[i] = scan.Quantize(s.codes[i*a.n:(i+1)*a.n], along)
		s.rests[i] = a.rest(x, along)
	}
	s.Off = squares(s.rests) / float64(max(1, n))
	return s
}

// Bytes of memory, without the axes.
func (s *Sketches) Bytes() int64 { return int64(len(s.codes) + 4*3*len(s.scales)) }

// Query is a vector to compare with sketches of the same axes.
type Query struct {
	Coded             *scan.Query
	base, slope, rest float32
}

// Query sketches a vector of D numbers. What lies along the axes is cut to 12 bits. That
// may be shorter than Margin of scan.Query promises anything for: what is lost there is far
// below slack, which does not shrink with it.
func (a *Axes) Query(x []float32) *Query {
	along := make([]float32, a.n)
	a.along(along, x)
	q := &Query{Coded: scan.NewQuery(along), rest: a.rest(x, along)}
	base, slope := q.Coded.Margin(scan.Up(a.length()))
	q.base, q.slope = scan.Up(float64(base)+a.slack()), slope
	return q
}

// Products sets out[j*n+i] to row first+i of the codes times those of query j, with
// n = len(out)/len(queries), for Reaching.
func (s *Sketches) Products(out []int32, queries []*scan.Query, first int) {
	n := len(out) / max(1, len(queries))
	scan.Products(out, queries, s.codes[first*s.Axes.n:(first+n)*s.Axes.n])
}

// Reaching adds to rows those from row first on whose bit in mask is set and whose product
// with the query may be bar or more, by the products of their codes: all of which scan.Dot
// gives that are there. After more than most rows it stops.
func (s *Sketches) Reaching(rows []uint32, q *Query, products []int32, first int, bar float32, mask []uint64, most int) []uint32 {
	n := len(products)
	scales, residuals, rests := s.scales[first:first+n], s.residuals[first:first+n], s.rests[first:first+n]
	scale, base, slope, rest := q.Coded.Scale, q.base, q.slope, q.rest
	for i, product := range products {
		if highest := scale*scales[i]*float32(product) + (base + slope*residuals[i]) + rest*rests[i]; highest < bar {
			continue
		}
		if r := first + i; mask[r/64]>>(r%64)&1 == 1 {
			if rows = append(rows, uint32(r)); len(rows) > most {
				break
			}
		}
	}
	return rows
}
