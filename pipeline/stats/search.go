package stats

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Neighbor is a row of the searched matrix and its cosine with the query.
type Neighbor struct {
	Index      int
	Similarity float32
}

const (
	queryBlock = 64
	baseBlock  = 1024
)

// Neighbors returns for each query its k most similar rows of base by cosine, the
// most similar first, of equal ones the one with the lower index. All are
// compared: the search is exact. With less than k rows all are returned. A zero
// vector has cosine 0 with everything; a NaN counts as -1.
func Neighbors(base, queries Matrix, k int) [][]Neighbor {
	found := make([][]Neighbor, queries.N)
	EachNeighbors(context.Background(), base, queries, func(int) int { return k }, func(query int, near []Neighbor) {
		found[query] = slices.Clone(near)
	})
	return found
}

// EachNeighbors is Neighbors with a k for each query, for those who keep less than
// what is found: visit is called once for each, from several goroutines at a time, and
// near is only its until it returns. Once ctx has ended it is not called any more, and
// the error is ctx's.
func EachNeighbors(ctx context.Context, base, queries Matrix, k func(query int) int, visit func(query int, near []Neighbor)) error {
	if base.D != queries.D {
		panic(fmt.Sprintf("stats: neighbours of %d-vectors among %d-vectors", queries.D, base.D))
	}
	best := make([]nearest, queries.N)
	for q := range best {
		if best[q].k = k(q); best[q].k < 1 {
			panic(fmt.Sprintf("stats: %d neighbours", best[q].k))
		}
	}
	base, queries = base.Normalized(), queries.Normalized()
	parallel(queries.N, queryBlock, func(begin, end int) {
		if ctx.Err() != nil {
			return
		}
		best := best[begin:end]
		buf := make([]float32, queryBlock*baseBlock)
		for at := 0; at < base.N; at += baseBlock {
			block := base.rows(at, min(at+baseBlock, base.N))
			sims := products(queries.rows(begin, end), block, buf)
			for q := range best {
				best[q].add(sims.Row(q), at)
			}
		}
		for q := range best {
			visit(begin+q, best[q].sorted())
			best[q].found = nil
		}
	})
	return ctx.Err()
}

// nearest are the k best of what was added, and at most as many that were among them
// until others came.
type nearest struct {
	k     int
	found []Neighbor
	full  bool
	least float32 // with full, of the k best when found was last cut to them
}

// add takes the similarities of rows from index at on.
func (b *nearest) add(sims []float32, at int) {
	for i, s := range sims {
		if s != s {
			s = -1
		}
		if b.full && s <= b.least { // an equal one before it is better
			continue
		}
		if b.found = append(b.found, Neighbor{at + i, s}); len(b.found) >= 2*b.k+queryBlock {
			b.cut()
		}
	}
}

// cut leaves the k best.
func (b *nearest) cut() {
	slices.SortFunc(b.found, better)
	b.found = b.found[:min(b.k, len(b.found))]
	if b.full = len(b.found) == b.k; b.full {
		b.least = b.found[b.k-1].Similarity
	}
}

// sorted are the k best, the best first.
func (b *nearest) sorted() []Neighbor {
	b.cut()
	return b.found
}

// better orders neighbours: the more similar first, of equal ones the lower index.
func better(a, b Neighbor) int {
	return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Index, b.Index))
}
