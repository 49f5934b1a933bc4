package stats

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Neighbor is a row of the searched matrix and its cosine similarity to the query.
type Neighbor struct {
	Index      int
	Similarity float32
}

const (
	queryBlock = 64
	baseBlock  = 1024
)

// Neighbors returns the k rows of base most similar to each query by cosine, most similar first;
// ties go to the lower index. The search is exact: it compares all rows. If base has fewer than k
// rows, all are returned. A zero vector has cosine 0 with everything; NaN counts as -1.
func Neighbors(base, queries Matrix, k int) [][]Neighbor {
	found := make([][]Neighbor, queries.N)
	EachNeighbors(context.Background(), base, queries, func(int) int { return k }, func(query int, near []Neighbor) {
		found[query] = slices.Clone(near)
	})
	return found
}

// EachNeighbors is Neighbors with a k per query, for callers that keep less than is found: visit is
// called once per query, concurrently from several goroutines, and must not keep near after it
// returns. Once ctx is done, no further queries are searched and ctx's error is returned.
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

// nearest collects the k best of the neighbours added, plus candidates not yet discarded by cut.
type nearest struct {
	k     int
	found []Neighbor
	full  bool
	least float32 // if full: the k-th best similarity at the last cut
}

// add adds the similarities of the rows from index at on.
func (b *nearest) add(sims []float32, at int) {
	for i, s := range sims {
		if s != s {
			s = -1
		}
		if b.full && s <= b.least { // on a tie the earlier row wins
			continue
		}
		if b.found = append(b.found, Neighbor{at + i, s}); len(b.found) >= 2*b.k+queryBlock {
			b.cut()
		}
	}
}

// cut keeps only the k best.
func (b *nearest) cut() {
	slices.SortFunc(b.found, better)
	b.found = b.found[:min(b.k, len(b.found))]
	if b.full = len(b.found) == b.k; b.full {
		b.least = b.found[b.k-1].Similarity
	}
}

// sorted returns the k best, best first.
func (b *nearest) sorted() []Neighbor {
	b.cut()
	return b.found
}

// better orders neighbours: more similar first, on a tie the lower index.
func better(a, b Neighbor) int {
	return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Index, b.Index))
}
