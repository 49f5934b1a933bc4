package stats

import (
	"fmt"
	"math"
)

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
