package stats

import (
	"fmt"
	"math"
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
	if base.D != queries.D || k < 1 {
		panic(fmt.Sprintf("stats: %d neighbours of %d-vectors among %d-vectors", k, queries.D, base.D))
	}
	base, queries = base.Normalized(), queries.Normalized()
	found := make([][]Neighbor, queries.N)
	parallel(queries.N, queryBlock, func(begin, end int) {
		buf := make([]float32, queryBlock*baseBlock)
		for at := 0; at < base.N; at += baseBlock {
			block := base.rows(at, min(at+baseBlock, base.N))
			sims := products(queries.rows(begin, end), block, buf)
			for q := range sims.N {
				found[begin+q] = merge(found[begin+q], sims.Row(q), at, k)
			}
		}
	})
	return found
}

// merge puts the similarities of rows from index at on into the k best so far.
func merge(best []Neighbor, sims []float32, at, k int) []Neighbor {
	for i, s := range sims {
		if s != s {
			s = -1
		}
		if len(best) == k {
			if s <= best[k-1].Similarity {
				continue
			}
			best = best[:k-1]
		}
		place, _ := slices.BinarySearchFunc(best, s, func(n Neighbor, s float32) int {
			if n.Similarity >= s {
				return -1
			}
			return 1
		})
		best = slices.Insert(best, place, Neighbor{at + i, s})
	}
	return best
}

// Vote names a class for each query: each of its first k neighbours votes for its
// label with weight exp(similarity/temperature); the largest sum wins, of equal
// ones the smallest label. (Wu et al. 2018, section 3.4; evaluation of VICReg with
// k = 20 and 200, temperature 0.07 and 0.1.) Neighbours come as from Neighbors; a query
// without one gets -1. The temperature is finite and above 0; towards 0, the most
// similar alone decide.
func Vote(neighbors [][]Neighbor, labels []int, k int, temperature float64) []int {
	if !(temperature > 0 && temperature <= math.MaxFloat64) {
		panic(fmt.Sprintf("stats: votes at temperature %g", temperature))
	}
	classes := make([]int, len(neighbors))
	for q, near := range neighbors {
		votes := map[int]float64{}
		for _, n := range near[:min(k, len(near))] {
			// Less that of the first changes no winner, and at least one vote is not 0.
			votes[labels[n.Index]] += math.Exp((float64(n.Similarity) - float64(near[0].Similarity)) / temperature)
		}
		classes[q] = winner(votes)
	}
	return classes
}

func winner(votes map[int]float64) int {
	class, most := -1, math.Inf(-1)
	for c, v := range votes {
		if v > most || v == most && c < class {
			class, most = c, v
		}
	}
	return class
}

// Accuracy is the share of predictions that equal the labels; NaN of none.
func Accuracy(predicted, labels []int) float64 {
	if len(predicted) != len(labels) {
		panic(fmt.Sprintf("stats: %d predictions for %d labels", len(predicted), len(labels)))
	}
	right := 0
	for i, p := range predicted {
		if p == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

// KNN is the accuracy of the k-nearest-neighbours vote on labelled queries; to
// try several k or temperatures, call Neighbors once and Vote for each.
func KNN(base Matrix, baseLabels []int, queries Matrix, labels []int, k int, temperature float64) float64 {
	if base.N != len(baseLabels) {
		panic(fmt.Sprintf("stats: %d labels for %d vectors", len(baseLabels), base.N))
	}
	return Accuracy(Vote(Neighbors(base, queries, k), baseLabels, k, temperature), labels)
}
