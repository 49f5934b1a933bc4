package pipeline

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"vicreg/pipeline/linear"
	"vicreg/pipeline/usage"
)

// kindFigures are the figures that need the kinds of the images.
type kindFigures struct {
	Count       int     `json:"count"`
	Images      int     `json:"images"`
	Reference   int     `json:"reference"` // images to find neighbours in; all of --data without --reference
	K           int     `json:"k"`         // neighbours that vote: the first of -k that is possible, or all available
	Temperature float64 `json:"temperature"`
	KNN         number  `json:"knn"`
	KNNCentered number  `json:"knn_centered"` // less the mean stored in the model
	KNNRaw      number  `json:"knn_raw"`      // on raw pixels
	RawCentered number  `json:"knn_raw_centered"`
	Chance      number  `json:"chance"`          // of always predicting the commonest kind
	Balanced    number  `json:"chance_balanced"` // balanced accuracy of the same
	Top5        number  `json:"chance_top5,omitempty"`
	Within      number  `json:"cosine_within"`
	Between     number  `json:"cosine_between"`

	Votes     []voteFigures    `json:"knn_at"`
	Retrieval retrievalFigures `json:"retrieval"`
	Linear    *linearFigures   `json:"linear"` // nil if noLinear says why

	noLinear  string // why there is no linear probe; "" if there is one
	neighbors int    // available to each image: all of the reference, or all other images
}

// comparison is the input to kindFigures.
type comparison struct {
	bare          bool    // without the linear probe
	noLinear      string  // why there is no linear probe; "" if there is one
	queries, base *sample // only images with a kind; base is nil if neighbours come from queries
	labels, among []int   // of the queries, and of the images searched for neighbours
	kinds         int
	center        []float32
	ks            []int
	temperature   float64
	progress      io.Writer
}

// newComparison returns nil, since there is nothing to compare, with fewer than two kinds or no
// image that has one.
func newComparison(queries, base *sample, center []float32, ks []int, temperature float64) *comparison {
	c := &comparison{queries: queries.named(), center: center, temperature: temperature, progress: io.Discard}
	others := c.queries
	if base != nil {
		c.base = base.named()
		others = c.base
	}
	c.labels, c.among, c.kinds = numberKinds(c.queries.kinds, others.kinds)
	if c.kinds < 2 || c.queries.y.N == 0 || others.y.N == 0 {
		return nil
	}
	c.ks = possible(ks, c.neighbors())
	return c
}

// others returns the images to find neighbours in.
func (c *comparison) others() *sample {
	if c.base != nil {
		return c.base
	}
	return c.queries
}

// neighbors is the number of neighbours available to each image.
func (c *comparison) neighbors() int {
	if c.base != nil {
		return c.base.y.N
	}
	return c.queries.y.N - 1
}

// possible returns the distinct values of ks that do not exceed the number of neighbours, or that
// number if none is left.
func possible(ks []int, neighbors int) []int {
	seen := map[int]bool{}
	fit := slices.DeleteFunc(slices.Clone(ks), func(k int) bool {
		twice := seen[k]
		seen[k] = true
		return twice || k > neighbors
	})
	if len(fit) == 0 {
		return []int{neighbors}
	}
	return fit
}

// measure computes the figures; the neighbour figures are undefined if no image has another of its
// kind to find.
func (c *comparison) measure(ctx context.Context, prober *linear.Prober) (*kindFigures, error) {
	f := &kindFigures{Count: c.kinds, Images: c.queries.y.N, Reference: c.others().y.N, Temperature: c.temperature,
		K: c.ks[0], neighbors: c.neighbors()}
	f.Chance, f.Balanced = number(commonest(c.labels, 1)), 1/number(len(counted(c.labels)))
	if c.kinds > fewKinds {
		f.Top5 = number(commonest(c.labels, fewKinds))
	}
	centered := minus(c.queries.y, c.center)
	within, between := meanCosines(centered, c.labels)
	f.Within, f.Between = number(within), number(between)
	fmt.Fprintf(c.progress, "comparing %s with %d\n", usage.Count(f.Images, "image"), f.neighbors)
	if err := c.measureNeighbors(ctx, f, centered); err != nil {
		return nil, err
	}
	first := f.Votes[0]
	f.KNN, f.KNNCentered, f.KNNRaw, f.RawCentered = first.Vectors.Right, first.Centered.Right, first.Raw.Right, first.RawCentered.Right
	var err error
	f.Linear, err = c.probe(ctx, prober)
	f.noLinear = c.noLinear
	return f, err
}

// numberKinds numbers the kinds in both lists in alphabetical order.
func numberKinds(a, b []string) (first, second []int, count int) {
	names := slices.Concat(a, b)
	slices.Sort(names)
	names = slices.Compact(names)
	at := func(kinds []string) []int {
		out := make([]int, len(kinds))
		for i, k := range kinds {
			out[i], _ = slices.BinarySearch(names, k)
		}
		return out
	}
	return at(a), at(b), len(names)
}

// counted returns the number of occurrences of each label.
func counted(labels []int) map[int]int {
	counts := map[int]int{}
	for _, l := range labels {
		counts[l]++
	}
	return counts
}

// commonest is the fraction of labels that are among the n most frequent.
func commonest(labels []int, n int) float64 {
	var counts []int
	for _, count := range counted(labels) {
		counts = append(counts, count)
	}
	slices.SortFunc(counts, func(a, b int) int { return b - a })
	sum := 0
	for _, count := range counts[:min(n, len(counts))] {
		sum += count
	}
	return float64(sum) / float64(len(labels))
}

var nan = number(math.NaN())
