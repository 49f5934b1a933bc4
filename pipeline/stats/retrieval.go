package stats

import "fmt"

// AveragePrecision is the average precision at R of one query, where R is the number of items with
// the query's label: the sum over its first R neighbours of the precision at each that has the
// label, divided by R. (Musgrave, Belongie and Lim 2020, section 4.2.) near holds at least R
// neighbours, or all there are, ordered as by Neighbors; R must be positive.
func AveragePrecision(near []Neighbor, labels []int, label, r int) float64 {
	if r < 1 {
		panic(fmt.Sprintf("stats: average precision at %d", r))
	}
	found, sum := 0, 0.0
	for i, n := range near[:min(r, len(near))] {
		if labels[n.Index] == label {
			found++
			sum += float64(found) / float64(i+1)
		}
	}
	return sum / float64(r)
}

// FirstOf is the number of neighbours before the first with the given label, or len(near) if there
// is none.
func FirstOf(near []Neighbor, labels []int, label int) int {
	for i, n := range near {
		if labels[n.Index] == label {
			return i
		}
	}
	return len(near)
}

// ChanceOfPrecision is the expected AveragePrecision when n neighbours, r of them with the query's
// label, are in random order.
func ChanceOfPrecision(r, n int) float64 {
	if n == 1 {
		return float64(r)
	}
	p := float64(r) / float64(n)
	next := float64(r-1) / float64(n-1) // probability that another one has the label, given that one has
	sum := 0.0
	for i := 1; i <= r; i++ {
		sum += p * (1 + float64(i-1)*next) / float64(i)
	}
	return sum / float64(r)
}

// ChanceOfOne is the probability that k of n neighbours, drawn at random, include at least one of
// the r with the query's label.
func ChanceOfOne(r, n, k int) float64 {
	none := 1.0
	for i := range min(k, n) {
		none *= float64(max(0, n-r-i)) / float64(n-i)
	}
	return 1 - none
}
