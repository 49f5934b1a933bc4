package index

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"vicreg/server/index/scan"
)

// pairs are the scores of pairs of items, lowest first: what a score is worth. They are all
// pairs of few items, and a random sample of more.
type pairs struct {
	scores []float32
}

// mostPairs resolves a share of 0.01 % twice over; a share of 1 % is off by 0.07 % (one
// standard deviation). Fewer items have fewer, which are 160 bytes an item: all of 81, and of
// 250 a third.
const (
	mostPairs    = 20000
	pairsPerItem = 40
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

// draw compares pairs of a snapshot, nil where there are too few items. The same items in
// the same order have the same pairs.
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

// sample compares n random pairs.
func (p *pairs) sample(s *snapshot, all []place, n int) {
	random := rand.New(rand.NewPCG(1, 2))
	p.scores = make([]float32, 0, n)
	for len(p.scores) < n {
		if a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]; a != b {
			p.scores = append(p.scores, scan.Dot(s.vector(a), s.vector(b)))
		}
	}
}
