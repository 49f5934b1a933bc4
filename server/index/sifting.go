package index

import (
	"math"

	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// sketchedProbes holds the probes of a group as sketches along some axes.
type sketchedProbes struct {
	queries []*sketch.Query
	coded   []*scan.Query // those of queries
}

// along returns the group's probes as sketches along axes.
func (g *group) along(axes *sketch.Axes) *sketchedProbes {
	if a := g.sketched[axes]; a != nil {
		return a
	}
	a := &sketchedProbes{}
	for _, s := range g.sieves {
		q := axes.Query(s.unit)
		a.queries, a.coded = append(a.queries, q), append(a.coded, q.Coded)
	}
	g.sketched[axes] = a
	return a
}

// A block of which sketches leave more than the fraction few is examined by its codes. After
// mostFailed such blocks in a row, the next skipped blocks are examined without sketches.
const mostFailed, skipped = 4, 16

// sift examines n rows of a part by their sketches, which rule out most, and compares the others
// by their vectors. A probe for which too many are left examines the block by its codes, and so
// does one that has no score to beat yet.
func (w *worker) sift(g *group, k *sketch.Sketches, j int, p part, first, n int, mask []uint64) {
	along := g.along(k.Axes)
	var tries []int // indices of sieves
	var coded []*scan.Query
	var unsifted group
	for i, s := range g.sieves {
		if s.sifts() {
			tries, coded = append(tries, i), append(coded, along.coded[i])
		} else {
			unsifted.add(s, g.queries[i])
		}
	}
	products, most := w.products(n*len(tries)), int(few*float64(n))
	k.Products(products, coded, first)
	for at, i := range tries {
		s := g.sieves[i]
		w.rows = k.Reaching(w.rows[:0], along.queries[i], products[at*n:(at+1)*n], first, s.reach(), mask, most)
		if s.sifted(len(w.rows) <= most) {
			s.compare(j, p, w.rows)
		} else {
			unsifted.add(s, g.queries[i])
		}
	}
	if len(unsifted.sieves) > 0 {
		w.pass(unsifted.sieves, unsifted.queries, j, p, first, n, mask)
	}
}

// sifts reports whether the next block is to be examined by sketches.
func (s *sieve) sifts() bool {
	if s.skip > 0 {
		s.skip--
		return false
	}
	return !math.IsInf(float64(s.reach()), -1)
}

// sifted records whether sketches left few rows of a block, and returns that.
func (s *sieve) sifted(well bool) bool {
	switch s.failed++; {
	case well:
		s.failed = 0
	case s.failed == mostFailed:
		s.failed, s.skip = 0, skipped
	}
	return well
}
