package stats

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

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

// BalancedAccuracy is the mean over the labels that occur of the share of their
// predictions that are right: each label counts alike, however rare. NaN of none.
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
	for _, l := range slices.Sorted(maps.Keys(count)) { // in a map's order the last bits would differ
		sum += float64(right[l]) / float64(count[l])
	}
	return sum / float64(len(count))
}

// TopAccuracy is the share of labels among the k largest scores of their rows, of equal
// scores those of the smaller labels; NaN of none. Scores are [N, labels there are].
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

// z95 is the 97.5 % point of the normal distribution.
const z95 = 1.959963984540054

// Wilson is the 95 % interval of a share that was found in n independent trials: Wilson
// 1927's, which stays within 0 and 1 and holds for few trials and shares near either. NaN
// of none.
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
