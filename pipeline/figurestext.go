package pipeline

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// print writes the figures for people to read.
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
		fmt.Fprintln(w, "kinds       fewer than two: nothing to compare (an image's kind is its folder in DIR, or follows a tab in a list)")
		return
	}
	among := "other images"
	if k.neighbors == k.Reference {
		among = "images of the reference"
	}
	fmt.Fprintf(w, "kinds       %d, %d images, neighbours among %d %s\n", k.Count, k.Images, k.neighbors, among)
	fmt.Fprintf(w, "cosine      %s within a kind, %s between kinds, less the mean\n\n",
		k.Within.text("%.3f", "nothing to compare"), k.Between.text("%.3f", "nothing to compare"))
	line(w, "", "vectors", "raw pixels", "chance", "")
	k.printLinear(w)
	k.printNeighbors(w)
}

// line writes a row of the table with aligned columns.
func line(w io.Writer, name, vectors, raw, chance, note string) {
	fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-18s %10s  %10s  %10s   %s", name, vectors, raw, chance, note), " "))
}

// row is line for fractions, printed as percentages.
func row(w io.Writer, name string, vectors, raw, chance number, note string) {
	percent := func(n number) string { return number(100*n).text("%.2f %%", "") }
	line(w, name, percent(vectors), percent(raw), percent(chance), note)
}

func (k *kindFigures) printLinear(w io.Writer) {
	l := k.Linear
	if l == nil {
		fmt.Fprintln(w, "linear probe       "+k.noLinear)
		return
	}
	row(w, "linear probe", l.Vectors.Right, l.Raw.Right, k.Chance, fmt.Sprintf("95 %% interval %.2f to %.2f %%", 100*l.Vectors.Low, 100*l.Vectors.High))
	note := fmt.Sprintf("trained on %d images of the reference", k.Reference)
	if l.Protocol == linearCrossFold {
		note = linearCrossFold
	}
	row(w, "  mean of kinds", l.Vectors.Balanced, l.Raw.Balanced, k.Balanced, note)
	if k.Count > fewKinds {
		row(w, "  in the top 5", *l.Vectors.Top5, *l.Raw.Top5, k.Top5, "")
	}
	if l.Unseen > 0 {
		fmt.Fprintf(w, "  images without another of their kind to train on, counted as wrong: %d\n", l.Unseen)
	}
}

func (k *kindFigures) printNeighbors(w io.Writer) {
	if math.IsNaN(float64(k.KNN)) {
		fmt.Fprintln(w, "neighbours         no kind has two images: nothing to find; give others with --reference")
		return
	}
	for i, v := range k.Votes {
		note := ""
		if i == 0 {
			note = fmt.Sprintf("temperature %g", k.Temperature)
		}
		row(w, fmt.Sprintf("knn k=%d", v.K), v.Vectors.Right, v.Raw.Right, k.Chance, note)
		row(w, "  less the mean", v.Centered.Right, v.RawCentered.Right, nan, "")
		row(w, "  mean of kinds", v.Vectors.Balanced, v.Raw.Balanced, k.Balanced, "")
	}
	if slices.ContainsFunc(k.Votes, func(v voteFigures) bool { return v.K == k.neighbors }) {
		fmt.Fprintln(w, "  all neighbours vote, so that this hardly says which are near: give a smaller -k, or more images")
	}
	r := k.Retrieval
	note := "less the mean, as the rows below"
	if r.Images < k.Images {
		note += fmt.Sprintf("; of the %d images with one of their kind to find", r.Images)
	}
	row(w, "recall@1", r.Recall1, nan, r.Chance.Recall1, note)
	row(w, "recall@5", r.Recall5, nan, r.Chance.Recall5, "")
	row(w, "recall@10", r.Recall10, nan, r.Chance.Recall10, "")
	row(w, "mAP@R", r.MAP, nan, r.Chance.MAP, "")
}

// evalNotes explains the figures.
func evalNotes() string {
	return fmt.Sprintf(`Folders directly in DIR are the kinds of the images. In a text file with a path a
line, the kind is what follows the path after a tab; in tar shards, the .cls
member beside the image, else "label" or "cls" in the .json one, else its first
folder. Without kinds only these are printed:
  RankMe         how many dimensions are in use, from the spectrum of the vectors
  spread         their std at length 1, times sqrt(D), on the scale of that in training,
                 which is of the expander's embeddings; a ReLU keeps these vectors from
                 being negative, and that of a healthy model is well below 1
Both compare between models at the same D and number of images only. With kinds:
  linear probe   right, of a classifier of the vectors: multinomial logistic regression,
                 dimensions standardised, fitted by L-BFGS, its L2 penalty chosen on a
                 fifth of what it is trained on: --reference; without, 5-fold cross-
                 validation in --data, with copies of a file in one fold. It is the quick
                 form of the probe, not the one trained by SGD on augmented images
  knn            right, when the K nearest neighbours vote, weighted by exp(cosine/T):
                 those in --reference, or among the other images of --data
  less the mean  the same of vectors less the mean in the model file (a --foreign model
                 has none), and of pixels less theirs
  mean of kinds  of each kind the share that is right, averaged: rare kinds count alike
  in the top 5   the right kind is among the 5 likeliest; with more than 5 kinds
  recall@k       images with one of their kind among the k nearest
  mAP@R          mean average precision at R, the number of images there are to find
                 (Musgrave et al. 2020): 100 %% when all of a kind come before all others
  cosine         of vectors less the mean, averaged over pairs of images
  raw pixels     those that the model sees, brought down to %d x %d for neighbours and
                 %d x %d for the linear probe where there are more
  chance         of naming the commonest kind, or of an order that means nothing
Intervals are Wilson's, of the images tested; the spread between runs is not in them.`, rawSide, rawSide, tinySide, tinySide)
}
