package index

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"vicreg/server/index/filter"
	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// scanBlock is the number of rows processed at once for several queries, so that their products
// stay in the cache.
const scanBlock = 1024

// few is the fraction of a part's rows up to which these are compared by vector, without reading
// the codes of the others; fewer applies with sketches, which are a fraction of the size of the
// codes.
const few, fewer = 1. / 8, 1. / 32

// search finds the hits of each probe, best first. Up to threads goroutines process one part at a
// time.
func (s *snapshot) search(ctx context.Context, probes []*probe, threads int) ([][]found, error) {
	threads = max(1, min(threads, len(s.parts)))
	sieves := make([][]sieve, threads)
	var next atomic.Int64
	var wait sync.WaitGroup
	work := func(t int) {
		w := newWorker(s, probes)
		sieves[t] = w.sieves
		for j := int(next.Add(1)) - 1; j < len(s.parts) && ctx.Err() == nil; j = int(next.Add(1)) - 1 {
			if p := s.parts[j]; p.segment != nil && p.gone < p.n {
				w.scan(j, p)
			}
		}
	}
	for t := 1; t < threads; t++ {
		wait.Go(func() { work(t) })
	}
	work(0)
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hits := make([][]found, len(probes))
	for i, p := range probes {
		hits[i] = s.finish(p, sieves, i)
	}
	return hits, nil
}

// worker is one goroutine of a search.
type worker struct {
	of     *snapshot
	sieves []sieve // one per probe
	groups []group
	room   []int32  // reusable memory for products
	rows   []uint32 // reusable memory for the rows that sketches leave
}

// group holds the probes with the same filter.
type group struct {
	match    *filter.Matcher
	sieves   []*sieve
	queries  []*scan.Query
	sketched map[*sketch.Axes]*sketchedProbes
}

func (g *group) add(s *sieve, q *scan.Query) {
	g.sieves, g.queries = append(g.sieves, s), append(g.queries, q)
}

func newWorker(s *snapshot, probes []*probe) *worker {
	w := &worker{of: s, sieves: make([]sieve, len(probes))}
	number := map[*filter.Matcher]int{}
	for i, p := range probes {
		w.sieves[i].probe, w.sieves[i].best.k = p, p.k
		g, known := number[p.match]
		if !known {
			g = len(w.groups)
			number[p.match], w.groups = g, append(w.groups, group{match: p.match, sketched: map[*sketch.Axes]*sketchedProbes{}})
		}
		w.groups[g].add(&w.sieves[i], p.coded)
	}
	return w
}

// scan searches part j for all probes.
func (w *worker) scan(j int, p part) {
	for _, g := range w.groups {
		mask, count, share := p.live, p.n-p.gone, few
		k := p.sketched()
		if k != nil {
			share = fewer
		}
		if g.match != nil {
			mask, count = p.matching(g.match)
		}
		switch {
		case count == 0:
		case float64(count) <= share*float64(p.n):
			rows := ones(mask)
			for _, s := range g.sieves {
				s.compare(j, p, rows)
			}
		default:
			w.blocks(&g, k, j, p, mask)
			for _, s := range g.sieves {
				s.settle(w.of)
			}
		}
	}
}

// blocks examines all rows of a part, by their sketches unless k is nil.
func (w *worker) blocks(g *group, k *sketch.Sketches, j int, p part, mask []uint64) {
	for first := 0; first < p.n; first += scanBlock {
		n := min(scanBlock, p.n-first)
		if k == nil {
			w.pass(g.sieves, g.queries, j, p, first, n, mask)
		} else {
			w.sift(g, k, j, p, first, n, mask)
		}
	}
}

// pass examines n rows of a part by their codes.
func (w *worker) pass(sieves []*sieve, queries []*scan.Query, j int, p part, first, n int, mask []uint64) {
	dim, products := w.of.dim, w.products(n*len(queries))
	scan.Products(products, queries, p.codes[first*dim:(first+n)*dim])
	for i, s := range sieves {
		s.pass(j, p, first, mask, products[i*n:(i+1)*n])
	}
}

// products returns memory for n products.
func (w *worker) products(n int) []int32 {
	if len(w.room) < n {
		w.room = make([]int32, n)
	}
	return w.room[:n]
}

// finish merges what the goroutines found for probe i, and compares the remaining candidates.
func (s *snapshot) finish(p *probe, sieves [][]sieve, i int) []found {
	best := top{k: p.k}
	for _, of := range sieves {
		for _, f := range of[i].best.heap {
			best.add(f)
		}
	}
	for _, of := range sieves {
		s.settle(&best, p, of[i].rows)
	}
	hits := best.sorted()
	for len(hits) > 0 && hits[len(hits)-1].score < p.least {
		hits = hits[:len(hits)-1]
	}
	return hits
}

// settle compares candidates by their vectors: first those certain to rank high, which rule out
// most of the others.
func (s *snapshot) settle(best *top, p *probe, rows []candidate) {
	bar := p.reach()
	for _, sure := range []bool{true, false} {
		for _, c := range rows {
			if c.lower >= bar == sure && c.upper >= bar && !(best.full() && c.upper < best.worst()) {
				best.add(found{c.place, s.id(c.place), scan.Dot(p.unit, s.vector(c.place))})
			}
		}
	}
}

// matching returns the live rows that match a filter, and their number.
func (p part) matching(m *filter.Matcher) (mask []uint64, count int) {
	mask = make([]uint64, len(p.live))
	m.Match(p.page, p.n, mask)
	for i := range mask {
		mask[i] &= p.live[i]
		count += bits.OnesCount64(mask[i])
	}
	return mask, count
}

// ones returns the indices of the set bits.
func ones(mask []uint64) (at []uint32) {
	for i, word := range mask {
		for ; word != 0; word &= word - 1 {
			at = append(at, uint32(64*i+bits.TrailingZeros64(word)))
		}
	}
	return at
}
