package index

import (
	"math"
	"sync/atomic"

	"vicreg/server/index/filter"
	"vicreg/server/index/scan"
)

// probe is one query being run on a namespace.
//
// The scan reads the 8-bit codes, a quarter of the bytes of the vectors, and remains exact: the
// codes determine a score to within a bound, and a row whose upper bound is below the lower
// bounds of k others is no hit. The remaining rows are compared by their vectors.
type probe struct {
	unit  []float32 // the query, of length 1
	coded *scan.Query
	k     int
	least float32         // minimum score of a hit
	match *filter.Matcher // nil for no filter
	self  int64           // place of the item that is the query, nowhere for none
	out   map[place]bool  // other items to exclude, nil for none

	base, slope float32 // of the bound: a score is within base + slope*residual of its estimate

	bar atomic.Uint32 // float32 bits of a score that k rows are known to reach, at first of least
}

func newProbe(unit []float32, k int, least float32) *probe {
	p := &probe{unit: unit, coded: scan.NewQuery(unit), k: k, least: least, self: nowhere}
	p.base, p.slope = p.coded.Margin(longest)
	p.bar.Store(math.Float32bits(least))
	return p
}

// longest is an upper bound on the length of a vector normalised to 1, given rounding.
const longest = 1 + 1e-6

func (p *probe) reach() float32 { return math.Float32frombits(p.bar.Load()) }

// raise sets the bar to score if that is higher.
func (p *probe) raise(score float32) {
	for {
		old := p.bar.Load()
		if score <= math.Float32frombits(old) || p.bar.CompareAndSwap(old, math.Float32bits(score)) {
			return
		}
	}
}

// leaveOut excludes the items at places, ignoring nowhere.
func (p *probe) leaveOut(places []int64) {
	for _, at := range places {
		if at == nowhere {
			continue
		}
		if p.out == nil {
			p.out = map[place]bool{}
		}
		p.out[place(at)] = true
	}
}

// sieve holds what one goroutine finds for a probe.
type sieve struct {
	*probe
	rows  []candidate // whose scores are bounded by the codes
	lower floor       // the k highest of their lower bounds and of the scores of compared rows
	best  top         // rows with exact scores

	passed, compared int // rows examined by their codes, and by their vectors: shows how well sketches work

	failed int // consecutive blocks of which sketches have left too many rows
	skip   int // blocks still to be examined without sketches
}

// candidate is a row with a score between lower and upper.
type candidate struct {
	place        place
	lower, upper float32
}

// pass examines the rows of part j from row first on whose bit in mask is set, given the products
// of their codes with the probe's. Those that may be hits become candidates.
func (s *sieve) pass(j int, p part, first int, mask []uint64, products []int32) {
	s.passed += len(products)
	bar := s.reach()
	scales, residuals := p.scales[first:first+len(products)], p.residuals[first:first+len(products)]
	for i, product := range products {
		r := first + i
		score := s.coded.Scale * scales[i] * float32(product)
		miss := s.base + s.slope*residuals[i]
		if score+miss < bar || mask[r/64]>>(r%64)&1 == 0 {
			continue
		}
		if at := at(j, r); int64(at) != s.self && !s.out[at] {
			s.rows = append(s.rows, candidate{at, score - miss, score + miss})
			if s.lower.add(score-miss, s.k) {
				s.raise(s.lower[0])
				bar = s.reach()
			}
		}
	}
}

// Up to mostRows candidates, plus four times k, are kept until the end. If vectors are all but
// equal, the codes cannot tell them apart and every row is a candidate.
const mostRows = 4096

// settle compares the candidates by their vectors if there are many.
func (s *sieve) settle(of *snapshot) {
	if len(s.rows) > mostRows+4*s.k {
		of.settle(&s.best, s.probe, s.rows)
		s.rows = s.rows[:0]
		if s.best.full() {
			s.raise(s.best.worst())
		}
	}
}

// compare scores rows of part j by their vectors.
func (s *sieve) compare(j int, p part, rows []uint32) {
	scores := make([]float32, len(rows))
	scan.DotsAt(scores, s.unit, p.vectors, rows)
	s.compared += len(rows)
	for i, r := range rows {
		if at := at(j, int(r)); int64(at) != s.self && !s.out[at] && scores[i] >= s.reach() {
			s.best.add(found{at, p.ids[r], scores[i]})
			if s.lower.add(scores[i], s.k) { // no row is in lower twice
				s.raise(s.lower[0])
			}
		}
	}
}

// floor is a min-heap of the k highest scores added.
type floor []float32

// add inserts a score if it is among the k highest. It reports whether there are k scores and the
// lowest of them has risen.
func (f *floor) add(score float32, k int) bool {
	switch h := *f; {
	case len(h) < k-1:
		*f = append(h, score)
		return false
	case len(h) == k-1:
		*f = append(h, score)
		for i := k/2 - 1; i >= 0; i-- {
			f.sift(i)
		}
		return true
	case score > h[0]:
		h[0] = score
		f.sift(0)
		return true
	}
	return false
}

func (f floor) sift(i int) {
	for {
		least := i
		if l := 2*i + 1; l < len(f) && f[l] < f[least] {
			least = l
		}
		if r := 2*i + 2; r < len(f) && f[r] < f[least] {
			least = r
		}
		if least == i {
			return
		}
		f[i], f[least] = f[least], f[i]
		i = least
	}
}
