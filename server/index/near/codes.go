package near

import (
	"sync"

	"vicreg/server/index/scan"
)

// codes holds all rows quantised to 8 bits, for blocks whose points leave many pairs. They are
// built on first use, which is late or never where vectors differ along few axes.
type codes struct {
	once            sync.Once
	codes           []int8    // [N, D], by place
	scale, residual []float32 // [N]
}

// of returns the codes of a layout's rows.
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

// run is a sequence of consecutive blocks with many candidate pairs, given by masks. They are
// compared together, as products of few rows cost more per row.
type run struct {
	first int
	masks [][block]uint64
}

const longestRun = 16

// later adds the pairs in w.masks to the run, to be compared with those of other blocks by the
// end of compare.
func (w *worker) later(a, b int) {
	if len(w.run.masks) == longestRun || w.run.first+len(w.run.masks) != b {
		w.judge(a)
	}
	if len(w.run.masks) == 0 {
		w.run.first = b
	}
	w.run.masks = append(w.run.masks, w.masks)
}

// judge compares block a with the blocks of the run, and empties the run. Pairs are filtered by
// their 8-bit codes first, with the bound of scan.Query.
func (w *worker) judge(a int) {
	if len(w.run.masks) == 0 {
		return
	}
	if w.asked == nil {
		w.ask(a)
	}
	c := w.codes.of(w.layout)
	begin := w.run.first * block
	n := min(len(w.run.masks)*block, w.m.N-begin)
	sums := w.sums[:n*len(w.asked)]
	scan.Products(sums, w.asked, c.codes[begin*w.m.D:(begin+n)*w.m.D])
	for i := range w.asked {
		w.sieve(a, i, begin, sums[i*n:(i+1)*n])
	}
	w.run.masks = w.run.masks[:0]
}

// sieve filters the pairs of row i of block a, given the products of its codes with those of the
// run, which begins at row first.
func (w *worker) sieve(a, i, first int, sums []int32) {
	unit, base, slope, least := w.asked[i].Scale, w.base[i], w.slope[i], w.least
	scale, residual := w.codes.scale[first:][:len(sums)], w.codes.residual[first:][:len(sums)]
	for k, sum := range sums {
		if unit*scale[k]*float32(sum)+base+slope*residual[k] >= least && w.run.masks[k/block][i]>>(k%block)&1 == 1 {
			w.pair(a*block+i, first+k)
		}
	}
}

// ask makes queries of block a's rows.
func (w *worker) ask(a int) {
	from, to := w.of(a)
	for i := from; i < to; i++ {
		q := scan.NewQuery(w.row(i))
		w.base[i-from], w.slope[i-from] = q.Margin(scan.Up(w.length))
		w.asked = append(w.asked, q)
	}
	if w.sums == nil {
		w.sums = make([]int32, longestRun*block*block)
	}
}

// pair joins two rows if their product is at least j.least.
func (j *join) pair(a, b int) {
	if j.joined.find(uint32(a)) != j.joined.find(uint32(b)) && scan.Dot(j.row(a), j.row(b)) >= j.least {
		j.joined.join(uint32(a), uint32(b))
	}
}
