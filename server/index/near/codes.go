package near

import (
	"math/bits"
	"sync"

	"vicreg/server/index/scan"
)

// codes are all rows in 8 bits, for blocks whose points say too little. They are made when
// they are first asked for: where vectors differ along few axes, that is never or seldom.
type codes struct {
	once            sync.Once
	codes           []int8    // [N, D], by places
	scale, residual []float32 // [N]
}

// of are the codes of a layout's rows.
func (c *codes) of(l *layout) *codes {
	c.once.Do(func() {
		n, d := l.m.N, l.m.D
		c.codes, c.scale, c.residual = make([]int8, n*d), make([]float32, n), make([]float32, n)
		for i := range n {
			c.scale[i], c.residual[i] = scan.Quantize(c.codes[i*d:(i+1)*d], l.row(i))
		}
	})
	return c
}

// judge compares the pairs in masks, of which there are many: by 8 bits of each number
// first, whose bound is that of scan.Query.
func (w *worker) judge(masks []uint64, a, b int) {
	if len(w.queries) == 0 {
		from, to := w.of(a)
		for i := from; i < to; i++ {
			w.queries = append(w.queries, scan.NewQuery(w.row(i)))
		}
	}
	if w.sums == nil {
		w.sums = make([]int32, block*block)
	}
	c := w.codes.of(w.layout)
	begin, end := w.of(b)
	n := end - begin
	sums := w.sums[:n*len(w.queries)]
	scan.Products(sums, w.queries, c.codes[begin*w.m.D:end*w.m.D])
	scale, residual := c.scale[begin:end], c.residual[begin:end]
	for i, q := range w.queries {
		base, slope := q.Margin(scan.Up(w.length))
		for mask := masks[i]; mask != 0; mask &= mask - 1 {
			k := bits.TrailingZeros64(mask)
			if q.Scale*scale[k]*float32(sums[i*n+k])+base+slope*residual[k] >= w.least {
				w.pair(a*block+i, begin+k)
			}
		}
	}
}

// pair joins two rows if their product is high.
func (j *join) pair(a, b int) {
	if j.joined.find(uint32(a)) != j.joined.find(uint32(b)) && scan.Dot(j.row(a), j.row(b)) >= j.least {
		j.joined.join(uint32(a), uint32(b))
	}
}
