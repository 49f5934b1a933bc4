package index

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"vicreg/server/index/scan"
)

// pairs are the scores of random pairs of items, lowest first: what a score is worth.
type pairs struct {
	scores []float32
}

// mostPairs resolves a share of 0.01 % twice over. A few for each item are enough below:
// they are drawn again and again while a namespace grows.
const (
	mostPairs    = 20000
	pairsPerItem = 5
)

// fewestItems is how many items a namespace must have for its pairs to say anything.
const fewestItems = 10

// percentile is the share of pairs whose score is lower, in %.
func (p *pairs) percentile(score float32) float64 {
	if p == nil {
		return math.NaN()
	}
	below := sort.Search(len(p.scores), func(i int) bool { return p.scores[i] >= score })
	return 100 * float64(below) / float64(len(p.scores))
}

// draw compares random pairs of a snapshot, nil where there are too few items. The same
// items in the same order have the same pairs.
func (s *snapshot) draw() *pairs {
	if s.items < fewestItems {
		return nil
	}
	all := make([]place, 0, s.items)
	for j, p := range s.parts {
		for _, r := range ones(p.live) {
			all = append(all, at(j, int(r)))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	n := min(mostPairs, pairsPerItem*s.items, s.items*(s.items-1)/2)
	p := &pairs{make([]float32, 0, n)}
	for len(p.scores) < n {
		if a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]; a != b {
			p.scores = append(p.scores, scan.Dot(s.vector(a), s.vector(b)))
		}
	}
	slices.Sort(p.scores)
	return p
}
