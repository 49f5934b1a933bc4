package stats

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Accuracy is the fraction of predictions that equal the labels; NaN for none.
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

// BalancedAccuracy is the mean recall over the labels that occur, so that each label counts
// equally, however rare. NaN for none.
func BalancedAccuracy(predicted, labels []int) float64 {
	if len(predicted) != len(labels) {
		panic(fmt.Sprintf("stats: %d predictions for %d labels", len(predicted), len(labels)))
	}
	right, count := map[int]int{}, map[int]int{}
	for i, l := range labels {
		count[l]++
		if predicted[i] == l {
			right[l]++
		}
	}
	sum := 0.0
	for _, l := range slices.Sorted(maps.Keys(count)) { // map order would change the last bits
		sum += float64(right[l]) / float64(count[l])
	}
	return sum / float64(len(count))
}

// TopAccuracy is the fraction of rows whose label is among the k largest scores; ties go to the
// smaller label. NaN for none. Scores are [N, number of labels].
func TopAccuracy(scores Matrix, labels []int, k int) float64 {
	if scores.N != len(labels) {
		panic(fmt.Sprintf("stats: %d rows of scores for %d labels", scores.N, len(labels)))
	}
	right := 0
	for i, l := range labels {
		before, row := 0, scores.Row(i)
		for j, s := range row {
			if s > row[l] || s == row[l] && j < l {
				before++
			}
		}
		if before < k {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

// z95 is the 97.5 % quantile of the standard normal distribution.
const z95 = 1.959963984540054

// Wilson returns the 95 % Wilson score interval (1927) of a proportion observed in n independent
// trials. It stays within [0, 1] and holds for few trials and for proportions near 0 or 1. NaN for
// n = 0.
func Wilson(share float64, n int) (low, high float64) {
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	z, trials := z95*z95, float64(n)
	middle := share + z/(2*trials)
	half := z95 * math.Sqrt(share*(1-share)/trials+z/(4*trials*trials))
	scale := 1 + z/trials
	return max(0, (middle-half)/scale), min(1, (middle+half)/scale)
}
