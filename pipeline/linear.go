package pipeline

import (
	"context"
	"fmt"

	"vicreg/pipeline/linear"
	"vicreg/pipeline/stats"
)

// fewKinds is the k of top-5 accuracy, which says nothing with no more kinds than that and is left
// out.
const fewKinds = 5

// mostScores limits images times kinds to what a linear probe handles in time: ten thousand images
// of four hundred kinds take some minutes.
const mostScores = 4_000_000

// linearFigures are the results of the linear probe.
type linearFigures struct {
	Form     string         `json:"form"`
	Protocol string         `json:"protocol"`
	Unseen   int            `json:"unseen"` // images of kinds without any training image: all wrong
	Vectors  linearAccuracy `json:"vectors"`
	Raw      linearAccuracy `json:"raw"` // on raw pixels, 16 x 16
}

// linearAccuracy is the accuracy of the classifiers on one kind of input.
type linearAccuracy struct {
	accuracy
	Low  number    `json:"accuracy_low"` // 95 % confidence interval
	High number    `json:"accuracy_high"`
	Top5 *number   `json:"top5_accuracy,omitempty"` // only with more than 5 kinds
	L2   []float64 `json:"l2"`                      // penalty strength of each classifier, relative to the mean loss
}

// The form of the probe, and what its classifiers are trained on.
const (
	linearForm      = "multinomial logistic regression on frozen vectors"
	linearTransfer  = "reference"
	linearCrossFold = "5-fold cross-validation"
)

// probe trains linear classifiers on vectors and on raw pixels. It returns nil if there are too few
// images to choose a penalty, train and test, or if it is disabled or would take too long.
func (c *comparison) probe(ctx context.Context, prober *linear.Prober) (*linearFigures, error) {
	train := c.others()
	if c.noLinear = c.without(train); c.noLinear != "" {
		return nil, nil
	}
	f := &linearFigures{Form: linearForm, Protocol: linearCrossFold}
	if c.base != nil {
		f.Protocol = linearTransfer
	}
	fmt.Fprintf(c.progress, "training linear classifiers for %d classes\n", c.kinds)
	parts := linear.Parts(train.files, c.among)
	f.Unseen = c.unseen(parts)
	for _, s := range []struct {
		train, test stats.Matrix
		into        *linearAccuracy
	}{{train.y, c.queries.y, &f.Vectors}, {train.tiny, c.queries.tiny, &f.Raw}} {
		samples := linear.Samples{X: s.train, Labels: c.among, Parts: parts}
		var r linear.Result
		var err error
		if c.base != nil {
			r, err = prober.Transfer(ctx, samples, s.test, c.kinds)
		} else {
			r, err = prober.CrossValidate(ctx, samples, c.kinds)
		}
		if err != nil {
			return nil, err
		}
		*s.into = c.linearAccuracy(r)
	}
	return f, nil
}

// without returns why there is no probe, "" if there is one.
func (c *comparison) without(train *sample) string {
	switch {
	case c.bare:
		return "skipped: --probe=false"
	case !linear.Enough(train.files, c.among):
		return "fewer than two classes have 5 different images to train on: too few"
	case int64(train.y.N)*int64(c.kinds) > mostScores:
		return fmt.Sprintf("skipped: it would take too long with %d images of %d classes; reduce the number of images with --limit", train.y.N, c.kinds)
	}
	return ""
}

func (c *comparison) linearAccuracy(r linear.Result) linearAccuracy {
	a := linearAccuracy{accuracy: accuracyOf(linear.Classes(r.Scores), c.labels), L2: r.L2}
	low, high := stats.Wilson(float64(a.Right), len(c.labels))
	a.Low, a.High = number(low), number(high)
	if c.kinds > fewKinds {
		top := number(stats.TopAccuracy(r.Scores, c.labels, fewKinds))
		a.Top5 = &top
	}
	return a
}

// unseen counts the test images of kinds that their classifier was not trained on.
func (c *comparison) unseen(parts []int) (n int) {
	total, inPart := counted(c.among), map[[2]int]int{}
	for i, l := range c.among {
		inPart[[2]int{l, parts[i]}]++
	}
	for i, l := range c.labels {
		shown := total[l]
		if c.base == nil {
			shown -= inPart[[2]int{l, parts[i]}]
		}
		if shown == 0 {
			n++
		}
	}
	return n
}
