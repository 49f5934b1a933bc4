package pipeline

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"vicreg/pipeline/stats"
)

// figures are what an evaluation finds.
type figures struct {
	Fingerprint string       `json:"fingerprint"`
	Images      int          `json:"images"`
	Dim         int          `json:"dim"`
	RankMe      number       `json:"rankme"`
	Spread      number       `json:"spread"`                 // as training's: std of the vectors at length 1 times sqrt(D)
	Std         number       `json:"normalized_std"`         // the same without sqrt(D)
	Copies      int          `json:"in_reference,omitempty"` // images that are files of the reference, too
	Kinds       *kindFigures `json:"kinds,omitempty"`
}

// kindFigures are those that need to know which images are alike.
type kindFigures struct {
	Count       int     `json:"count"`
	Images      int     `json:"images"`
	Reference   int     `json:"reference"` // images to find neighbours in; without others, all of --data
	K           int     `json:"k"`         // neighbours that vote: those asked for, or all there are
	Temperature float64 `json:"temperature"`
	KNN         number  `json:"knn"`
	KNNCentered number  `json:"knn_centered"` // less the mean in the model file
	KNNRaw      number  `json:"knn_raw"`      // of raw pixels
	RawCentered number  `json:"knn_raw_centered"`
	Chance      number  `json:"chance"` // of always naming the commonest kind
	Within      number  `json:"cosine_within"`
	Between     number  `json:"cosine_between"`

	neighbors int // that each image has: all of the reference, or all other images
}

// number is a figure that may be undefined, which JSON calls null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// text is the figure in a format, or what to say of one that is undefined.
func (n number) text(format, undefined string) string {
	if math.IsNaN(float64(n)) {
		return undefined
	}
	return fmt.Sprintf(format, float64(n))
}

// compareKinds computes the figures of images with kinds; base is nil to find each
// image's neighbours among the others, which is undefined where no kind has two. It
// returns nil with fewer than two kinds, or no image of any.
func compareKinds(queries, base *sample, center []float32, k int, temperature float64) *kindFigures {
	queries = queries.named()
	others := queries
	if base != nil {
		others = base.named()
	}
	labels, baseLabels, count := numberKinds(queries.kinds, others.kinds)
	if count < 2 || queries.y.N == 0 || others.y.N == 0 {
		return nil
	}
	f := &kindFigures{Count: count, Images: queries.y.N, Reference: others.y.N, Temperature: temperature, neighbors: others.y.N}
	if base == nil {
		f.neighbors--
	}
	k = min(k, f.neighbors)
	f.K = k
	centered := minus(queries.y, center)
	within, between := meanCosines(centered, labels)
	f.Within, f.Between = number(within), number(between)
	knn := func(q, b stats.Matrix) number {
		if base != nil {
			return number(stats.KNN(b, baseLabels, q, labels, k, temperature))
		}
		if math.IsNaN(within) {
			return number(within)
		}
		return number(stats.Accuracy(stats.Vote(neighborsOfOthers(q, k), labels, k, temperature), labels))
	}
	f.KNN = knn(queries.y, others.y)
	f.KNNCentered = knn(centered, minus(others.y, center))
	f.KNNRaw = knn(queries.raw, others.raw)
	pixels := meanRow(others.raw)
	f.RawCentered = knn(minus(queries.raw, pixels), minus(others.raw, pixels))
	f.Chance = number(commonest(labels))
	return f
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

// print writes the figures for a person.
func (f *figures) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model       %d numbers an image, fingerprint %s\n", f.Dim, f.Fingerprint)
	fmt.Fprintf(&b, "images      %d\n", f.Images)
	fmt.Fprintf(&b, "RankMe      %s\n", f.RankMe.text(fmt.Sprintf("%%.1f of at most %d", min(f.Images, f.Dim)), "undefined: all vectors are zero"))
	fmt.Fprintf(&b, "spread      %.2f, std of vectors of length 1 times sqrt(%d); 1 is all dimensions alike around 0, 0 is collapsed\n", f.Spread, f.Dim)
	f.Kinds.print(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// print writes the figures of k, which may be nil.
func (k *kindFigures) print(w io.Writer) {
	if k == nil {
		fmt.Fprintln(w, "kinds       fewer than two folders of images: nothing to compare")
		return
	}
	among := "other images"
	if k.neighbors == k.Reference {
		among = "images of the reference"
	}
	fmt.Fprintf(w, "kinds       %d, %d images, neighbours among %d %s\n", k.Count, k.Images, k.neighbors, among)
	if math.IsNaN(float64(k.KNN)) {
		fmt.Fprintln(w, "knn         no kind has two images: nothing to find; give others with --reference")
	} else {
		fmt.Fprintf(w, "knn         %.2f %% right with k=%d, temperature %g; %.2f %% less the mean\n", 100*k.KNN, k.K, k.Temperature, 100*k.KNNCentered)
		if k.K == k.neighbors {
			fmt.Fprintln(w, "            all neighbours vote, so that this hardly says which are near: give a smaller -k, or more images")
		}
		fmt.Fprintf(w, "raw pixels  %.2f %%; %.2f %% less the mean\n", 100*k.KNNRaw, 100*k.RawCentered)
		fmt.Fprintf(w, "chance      %.2f %%\n", 100*k.Chance)
	}
	fmt.Fprintf(w, "cosine      %s within a kind, %s between kinds, less the mean\n",
		k.Within.text("%.3f", "nothing to compare"), k.Between.text("%.3f", "nothing to compare"))
}
