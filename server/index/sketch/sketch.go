package sketch

import (
	"context"

	"vicreg/server/index/scan"
)

// Sketches is what is kept of some vectors: 8 bits per coordinate along the axes, and three
// numbers per vector.
type Sketches struct {
	Axes      *Axes
	codes     []int8    // [N, S]
	scales    []float32 // [N], of the codes
	residuals []float32 // [N], bounds on the length that the codes lose
	rests     []float32 // [N], bounds on the length off the axes

	Off float64 // mean fraction of the squared length off the axes: at 0 the bound is exact, at 1 useless
}

// Draw sketches vectors [N, D]. It returns nil if ctx ends.
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

// Bytes returns the memory use in bytes, excluding the axes.
func (s *Sketches) Bytes() int64 { return int64(len(s.codes) + 4*3*len(s.scales)) }

// Query is a vector to compare with sketches of the same axes.
type Query struct {
	Coded             *scan.Query
	base, slope, rest float32
}

// Query sketches a vector of D numbers, with coordinates cut to 12 bits. These may be shorter
// than the range for which scan.Query.Margin guarantees its bound: the loss there is far below
// slack, which does not shrink with the length.
func (a *Axes) Query(x []float32) *Query {
	along := make([]float32, a.n)
	a.along(along, x)
	q := &Query{Coded: scan.NewQuery(along), rest: a.rest(x, along)}
	base, slope := q.Coded.Margin(scan.Up(a.length()))
	q.base, q.slope = scan.Up(float64(base)+a.slack()), slope
	return q
}

// Products sets out[j*n+i] to the product of the codes of row first+i and query j, for Reaching,
// with n = len(out)/len(queries).
func (s *Sketches) Products(out []int32, queries []*scan.Query, first int) {
	n := len(out) / max(1, len(queries))
	scan.Products(out, queries, s.codes[first*s.Axes.n:(first+n)*s.Axes.n])
}

// Reaching appends to rows those from row first on whose bit in mask is set and whose product
// with the query may be bar or more, judging by the products of their codes. It includes every
// such row whose scan.Dot is bar or more. It stops once rows has more than most elements.
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
