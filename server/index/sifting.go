package index

import (
	"vicreg/server/index/scan"
	"vicreg/server/index/sketch"
)

// asked are the probes of a group as sketches of some axes.
type asked struct {
	queries []*sketch.Query
	coded   []*scan.Query // theirs
}

// by are the group's probes as sketches of axes.
func (g *group) by(axes *sketch.Axes) *asked {
	if a := g.asked[axes]; a != nil {
		return a
	}
	a := &asked{}
	for _, s := range g.sieves {
		q := axes.Query(s.unit)
		a.queries, a.coded = append(a.queries, q), append(a.coded, q.Coded)
	}
	g.asked[axes] = a
	return a
}

// sift looks at n rows of a part by their sketches, which rule out most of them, and at
// those that are left by their vectors. The probes for which many are left, as for all at
// the start, look at the block by its codes.
func (w *worker) sift(g *group, k *sketch.Sketches, j int, p part, first, n int, mask []uint64) {
	by, products := g.by(k.Axes), w.products(n*len(g.queries))
	k.Products(products, by.coded, first)
	var sieves []*sieve
	var queries []*scan.Query
	for i, s := range g.sieves {
		rows := k.Reaching(w.rows[:0], by.queries[i], products[i*n:(i+1)*n], first, s.reach())
		if w.rows = rows; float64(len(rows)) > few*float64(n) {
			sieves, queries = append(sieves, s), append(queries, g.queries[i])
			continue
		}
		s.compare(j, p, among(rows, mask))
	}
	if len(sieves) > 0 {
		w.pass(sieves, queries, j, p, first, n, mask)
	}
}

// among keeps the rows whose bit is set.
func among(rows []uint32, mask []uint64) []uint32 {
	kept := rows[:0]
	for _, r := range rows {
		if mask[r/64]>>(r%64)&1 == 1 {
			kept = append(kept, r)
		}
	}
	return kept
}
