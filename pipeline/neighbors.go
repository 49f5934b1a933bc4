package pipeline

import (
	"context"
	"slices"

	"vicreg/pipeline/stats"
)

// accuracy holds the fractions of right predictions.
type accuracy struct {
	Right    number `json:"accuracy"`
	Balanced number `json:"balanced_accuracy"` // averaged over the kinds
}

func accuracyOf(predicted, labels []int) accuracy {
	return accuracy{number(stats.Accuracy(predicted, labels)), number(stats.BalancedAccuracy(predicted, labels))}
}

// voteFigures are the results of a vote of K neighbours.
type voteFigures struct {
	K           int      `json:"k"`
	Vectors     accuracy `json:"vectors"`
	Centered    accuracy `json:"centered"` // less the mean stored in the model
	Raw         accuracy `json:"raw"`      // on raw pixels
	RawCentered accuracy `json:"raw_centered"`
}

// retrieval measures how well images of the same kind are found.
type retrieval struct {
	Recall1  number `json:"recall_at_1"` // fraction of images with one of their kind among the k nearest
	Recall5  number `json:"recall_at_5"`
	Recall10 number `json:"recall_at_10"`
	MAP      number `json:"map_at_r"`
}

// retrievalFigures are measured on vectors less the mean.
type retrievalFigures struct {
	Images int `json:"images"` // that have another of their kind to find
	retrieval
	Chance retrieval `json:"chance"`
}

// measureNeighbors computes the votes, and the ranking of the nearest centred vectors. All figures
// are undefined if no image has another of its kind to find.
func (c *comparison) measureNeighbors(ctx context.Context, f *kindFigures, centered stats.Matrix) error {
	others, find := c.others(), c.toFind()
	ranks := newRanking(c, find)
	f.Votes = make([]voteFigures, len(c.ks))
	pixels := meanRow(others.raw)
	for _, s := range []struct {
		queries, base stats.Matrix
		into          func(*voteFigures) *accuracy
		also          *ranking
	}{
		{c.queries.y, others.y, func(v *voteFigures) *accuracy { return &v.Vectors }, nil},
		{centered, minus(others.y, c.center), func(v *voteFigures) *accuracy { return &v.Centered }, ranks},
		{c.queries.raw, others.raw, func(v *voteFigures) *accuracy { return &v.Raw }, nil},
		{minus(c.queries.raw, pixels), minus(others.raw, pixels), func(v *voteFigures) *accuracy { return &v.RawCentered }, nil},
	} {
		near := make([][]stats.Neighbor, s.queries.N)
		undefined := c.base == nil && slices.Max(find) == 0
		if !undefined {
			if err := c.search(ctx, s.queries, s.base, s.also, near); err != nil {
				return err
			}
		}
		for i, k := range c.ks {
			f.Votes[i].K = k
			*s.into(&f.Votes[i]) = accuracy{nan, nan}
			if !undefined {
				*s.into(&f.Votes[i]) = accuracyOf(stats.Vote(near, c.among, k, c.temperature), c.labels)
			}
		}
	}
	f.Retrieval = ranks.figures()
	return nil
}

// search finds each query's neighbours, excluding itself: it stores the voters in near and passes
// also as many as it needs.
func (c *comparison) search(ctx context.Context, queries, base stats.Matrix, also *ranking, near [][]stats.Neighbor) error {
	voters, all := slices.Max(c.ks), c.neighbors()
	want := func(q int) int { return min(max(voters, also.wants(q)), all) }
	more := 0
	if c.base == nil {
		more = 1
	}
	return stats.EachNeighbors(ctx, base, queries, func(q int) int { return want(q) + more }, func(q int, found []stats.Neighbor) {
		if c.base == nil {
			found = slices.DeleteFunc(found, func(n stats.Neighbor) bool { return n.Index == q })
		}
		found = found[:min(want(q), len(found))]
		near[q] = slices.Clone(found[:min(voters, len(found))])
		also.see(q, found)
	})
}

// toFind returns the number of other images of each query's kind.
func (c *comparison) toFind() []int {
	counts, find := counted(c.among), make([]int, len(c.labels))
	for q, l := range c.labels {
		find[q] = counts[l]
		if c.base == nil {
			find[q]-- // the query itself
		}
	}
	return find
}

// recalled lists the k of recall@k.
var recalled = [...]int{1, 5, 10}

// ranking records where images of a query's kind rank among its neighbours. A nil ranking records
// nothing. It may be used for different queries concurrently.
type ranking struct {
	c         *comparison
	find      []int     // by query
	first     []int     // number of neighbours before the first of the kind
	precision []float64 // average precision at R
}

func newRanking(c *comparison, find []int) *ranking {
	return &ranking{c: c, find: find, first: make([]int, len(find)), precision: make([]float64, len(find))}
}

// wants is the number of neighbours of a query that it needs.
func (r *ranking) wants(q int) int {
	if r == nil {
		return 0
	}
	return max(r.find[q], recalled[len(recalled)-1])
}

func (r *ranking) see(q int, near []stats.Neighbor) {
	if r == nil || r.find[q] == 0 {
		return
	}
	label := r.c.labels[q]
	r.first[q] = stats.FirstOf(near, r.c.among, label)
	r.precision[q] = stats.AveragePrecision(near, r.c.among, label, r.find[q])
}

// figures averages over the queries that have something to find.
func (r *ranking) figures() retrievalFigures {
	var f retrievalFigures
	var recall, chance [len(recalled)]float64
	var precision, byChance float64
	for q, find := range r.find {
		if find == 0 {
			continue
		}
		f.Images++
		for i, k := range recalled {
			if r.first[q] < k {
				recall[i]++
			}
			chance[i] += stats.ChanceOfOne(find, r.c.neighbors(), k)
		}
		precision += r.precision[q]
		byChance += stats.ChanceOfPrecision(find, r.c.neighbors())
	}
	n := float64(f.Images) // 0 gives NaN
	f.retrieval = retrieval{number(recall[0] / n), number(recall[1] / n), number(recall[2] / n), number(precision / n)}
	f.Chance = retrieval{number(chance[0] / n), number(chance[1] / n), number(chance[2] / n), number(byChance / n)}
	return f
}
