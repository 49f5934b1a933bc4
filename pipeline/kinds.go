package pipeline

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"vicreg/pipeline/linear"
)

// kindFigures are those that need to know which images are alike.
type kindFigures struct {
	Count       int     `json:"count"`
	Images      int     `json:"images"`
	Reference   int     `json:"reference"` // images to find neighbours in; without others, all of --data
	K           int     `json:"k"`         // neighbours that vote: the first number asked for, or all there are
	Temperature float64 `json:"temperature"`
	KNN         number  `json:"knn"`
	KNNCentered number  `json:"knn_centered"` // less the mean in the model file
	KNNRaw      number  `json:"knn_raw"`      // of raw pixels
	RawCentered number  `json:"knn_raw_centered"`
	Chance      number  `json:"chance"`          // of always naming the commonest kind
	Balanced    number  `json:"chance_balanced"` // the mean over the kinds of that
	Top5        number  `json:"chance_top5,omitempty"`
	Within      number  `json:"cosine_within"`
	Between     number  `json:"cosine_between"`

	Votes     []voteFigures    `json:"knn_at"`
	Retrieval retrievalFigures `json:"retrieval"`
	Linear    *linearFigures   `json:"linear"` // nil where there are too few images

	noLinear  string // why there is no linear probe, if so
	neighbors int    // that each image has: all of the reference, or all other images
}

// comparison is what kinds are compared by.
type comparison struct {
	bare          bool    // without the linear probe
	noLinear      string  // why there is none, if so
	queries, base *sample // named, and base nil to find each image's neighbours among the others
	labels, among []int   // of the queries, and of those that neighbours are found in
	kinds         int
	center        []float32
	ks            []int
	temperature   float64
	progress      io.Writer
}

// newComparison compares nothing, and is nil, with fewer than two kinds or no image of
// any.
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

// others are those to find neighbours in.
func (c *comparison) others() *sample {
	if c.base != nil {
		return c.base
	}
	return c.queries
}

// neighbors is how many each image has.
func (c *comparison) neighbors() int {
	if c.base != nil {
		return c.base.y.N
	}
	return c.queries.y.N - 1
}

// possible are the numbers of neighbours of which there are as many, or all there are
// where each of ks is more.
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

// measure computes the figures; those of neighbours are undefined where no image has one
// of its kind to find.
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
	fmt.Fprintf(c.progress, "comparing %d images with %d\n", f.Images, f.neighbors)
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

// numberKinds numbers the kinds of both lists in the order of their names.
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

// counted is how many there are of each label.
func counted(labels []int) map[int]int {
	counts := map[int]int{}
	for _, l := range labels {
		counts[l]++
	}
	return counts
}

// commonest is the share of the n most frequent labels.
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
