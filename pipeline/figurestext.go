package pipeline

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
)

// print writes the figures for people to read.
func (f *figures) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model       %s, fingerprint %s\n", usage.Count(f.Dim, "dimension"), f.Fingerprint)
	fmt.Fprintf(&b, "images      %d\n", f.Images)
	fmt.Fprintf(&b, "RankMe      %s\n", f.RankMe.text(fmt.Sprintf("%%.1f of at most %d", min(f.Images, f.Dim)), "undefined: all vectors are zero"))
	fmt.Fprintf(&b, "spread      %.2f, std of the normalised vectors × sqrt(%d); 1 = evenly spread, 0 = collapsed\n", f.Spread, f.Dim)
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
		among = "reference images"
	}
	fmt.Fprintf(w, "classes     %d, %s, neighbours among %d %s\n", k.Count, usage.Count(k.Images, "image"), k.neighbors, among)
	fmt.Fprintf(w, "cosine      %s within classes, %s between classes, centred\n\n",
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
	note := fmt.Sprintf("trained on %s", usage.Count(k.Reference, "reference image"))
	if l.Protocol == linearCrossFold {
		note = linearCrossFold
	}
	row(w, "  mean per class", l.Vectors.Balanced, l.Raw.Balanced, k.Balanced, note)
	if k.Count > fewKinds {
		row(w, "  top 5", *l.Vectors.Top5, *l.Raw.Top5, k.Top5, "")
	}
	if l.Unseen > 0 {
		fmt.Fprintf(w, "  images without another of their class to train on, counted as wrong: %d\n", l.Unseen)
	}
}

func (k *kindFigures) printNeighbors(w io.Writer) {
	if math.IsNaN(float64(k.KNN)) {
		fmt.Fprintln(w, "neighbours         no class has two images: nothing to find; give other images with --reference")
		return
	}
	for i, v := range k.Votes {
		note := ""
		if i == 0 {
			note = fmt.Sprintf("temperature %g", k.Temperature)
		}
		row(w, fmt.Sprintf("knn k=%d", v.K), v.Vectors.Right, v.Raw.Right, k.Chance, note)
		row(w, "  centred", v.Centered.Right, v.RawCentered.Right, nan, "")
		row(w, "  mean per class", v.Vectors.Balanced, v.Raw.Balanced, k.Balanced, "")
	}
	if slices.ContainsFunc(k.Votes, func(v voteFigures) bool { return v.K == k.neighbors }) {
		fmt.Fprintln(w, "  all neighbours vote, so this says little about the nearest ones: use a smaller -k or more images")
	}
	r := k.Retrieval
	note := "centred, as in the rows below"
	if r.Images < k.Images {
		note += fmt.Sprintf("; over the %d images with another of their class to find", r.Images)
	}
	row(w, "recall@1", r.Recall1, nan, r.Chance.Recall1, note)
	row(w, "recall@5", r.Recall5, nan, r.Chance.Recall5, "")
	row(w, "recall@10", r.Recall10, nan, r.Chance.Recall10, "")
	row(w, "mAP@R", r.MAP, nan, r.Chance.MAP, "")
}

// evalNotes explains the figures.
func evalNotes() string {
	return fmt.Sprintf(`The folders directly in DIR are the classes. In a text file with one path per line,
the class is what follows the path after a tab; in tar shards it is the .cls member
beside the image, else "label" or "cls" in the .json member, else the image's first
folder. Without classes only these are printed:
  RankMe          how many dimensions are in use, from the spectrum of the vectors
  spread          std of the normalised vectors × sqrt(D), on the same scale as in training,
                  where it is that of the expander's embeddings; these vectors come after
                  a ReLU and are not negative, so a healthy model is well below 1
Compare both only between models with the same D and number of images. With classes:
  linear probe    accuracy of a classifier on the vectors: multinomial logistic regression
                  on standardised dimensions, fitted by L-BFGS, with the L2 penalty chosen on
                  a fifth of the training data, which is --reference; without it, 5-fold
                  cross-validation on --data, with copies of a file in one fold. This is the
                  quick form of the probe, not the one trained by SGD on augmented images
  knn             accuracy of a vote of the K nearest neighbours, weighted by exp(cosine/T):
                  those in --reference, or among the other images of --data
  centred         the same for vectors minus the mean in the model file (a --foreign model
                  has none), and for pixels minus their mean
  mean per class  accuracy of each class, averaged: rare classes count equally
  top 5           the right class is among the 5 most likely; with more than 5 classes
  recall@k        share of images with one of their class among the k nearest
  mAP@R           mean average precision at R, the number of images there are to find
                  (Musgrave et al. 2020): 100 %% if all of a class come before all others
  cosine          of centred vectors, averaged over pairs of images
  raw pixels      those that the model sees, scaled down to %d x %d for neighbours and
                  %d x %d for the linear probe if there are more
  chance          of guessing the most frequent class, or of a random order
Intervals are Wilson intervals over the tested images; they do not include the variation
between runs.`, rawSide, rawSide, tinySide, tinySide)
}
