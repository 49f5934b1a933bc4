package index

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"vicreg/server/index/scan"
)

// pairs holds the scores of pairs of items in ascending order, by which a score is rated: all
// pairs of few items, and a random sample of the pairs of many.
type pairs struct {
	scores []float32
}

// mostPairs resolves a fraction of 0.01 % twice over; at a fraction of 1 % the standard deviation
// is 0.07 %. Fewer items have fewer pairs, at 160 bytes per item: all pairs of 81 items, and a
// third of those of 250.
const (
	mostPairs    = 20000
	pairsPerItem = 40
)

// fewestItems is the number of items from which the pairs of a namespace are meaningful.
const fewestItems = 10

// percentile returns the percentage of pairs with a lower score.
func (p *pairs) percentile(score float32) float64 {
	if p == nil {
		return math.NaN()
	}
	below := sort.Search(len(p.scores), func(i int) bool { return p.scores[i] >= score })
	return 100 * float64(below) / float64(len(p.scores))
}

// draw scores pairs of a snapshot; nil if there are too few items. The same items in the same
// order have the same pairs.
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
	p := &pairs{}
	if every := s.items * (s.items - 1) / 2; every <= min(mostPairs, pairsPerItem*s.items) {
		p.scores = make([]float32, 0, every)
		for i, a := range all {
			for _, b := range all[:i] {
				p.scores = append(p.scores, scan.Dot(s.vector(a), s.vector(b)))
			}
		}
	} else {
		p.sample(s, all, min(mostPairs, pairsPerItem*s.items))
	}
	slices.Sort(p.scores)
	return p
}

// sample scores n random pairs.
func (p *pairs) sample(s *snapshot, all []place, n int) {
	random := rand.New(rand.NewPCG(1, 2))
	p.scores = make([]float32, 0, n)
	for len(p.scores) < n {
		if a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]; a != b {
			p.scores = append(p.scores, scan.Dot(s.vector(a), s.vector(b)))
		}
	}
}
