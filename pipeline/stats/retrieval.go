package stats

import "fmt"

// AveragePrecision is that at R of one query: over its first R neighbours, the mean of the
// precision at each that is of the query's label, and of 0 at each other, where R is
// how many of that label there are to find. (Musgrave, Belongie and Lim 2020, section
// 4.2.) It wants R neighbours or all there are, as from Neighbors, and R above 0.
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

// FirstOf is how many neighbours come before the first of a label, or how many there
// are when none is.
func FirstOf(near []Neighbor, labels []int, label int) int {
	for i, n := range near {
		if labels[n.Index] == label {
			return i
		}
	}
	return len(near)
}

// ChanceOfPrecision is what AveragePrecision is on average when the order of n
// neighbours, r of them of the query's label, means nothing.
func ChanceOfPrecision(r, n int) float64 {
	if n == 1 {
		return float64(r)
	}
	p := float64(r) / float64(n)
	next := float64(r-1) / float64(n-1) // that another one is, when one is
	sum := 0.0
	for i := 1; i <= r; i++ {
		sum += p * (1 + float64(i-1)*next) / float64(i)
	}
	return sum / float64(r)
}

// ChanceOfOne is the probability that among k of n neighbours, drawn at random, is one
// of the r of the query's label.
func ChanceOfOne(r, n, k int) float64 {
	none := 1.0
	for i := range min(k, n) {
		none *= float64(max(0, n-r-i)) / float64(n-i)
	}
	return 1 - none
}
