package stats

import (
	"fmt"
	"math"
)

// Vote predicts a class for each query: each of its first k neighbours votes for its label with
// weight exp(similarity/temperature), and the largest sum wins; ties go to the smallest label. (Wu
// et al. 2018, section 3.4; VICReg is evaluated with k = 20 and 200, temperature 0.07 and 0.1.)
// Neighbours must be ordered as Neighbors returns them; a query without any gets -1. The
// temperature must be finite and above 0; as it approaches 0, the most similar neighbours alone
// decide.
func Vote(neighbors [][]Neighbor, labels []int, k int, temperature float64) []int {
	if !(temperature > 0 && temperature <= math.MaxFloat64) {
		panic(fmt.Sprintf("stats: votes at temperature %g", temperature))
	}
	classes := make([]int, len(neighbors))
	for q, near := range neighbors {
		votes := map[int]float64{}
		for _, n := range near[:min(k, len(near))] {
			// Subtracting the first similarity changes no winner and keeps at least one vote above
			// 0.
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
