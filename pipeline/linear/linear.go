// Package linear is the linear probe: how well a linear classifier tells kinds of
// images apart by vectors that stay as they are. It is the quick form of the probe,
// multinomial logistic regression on vectors computed once, of images that are not
// augmented; the other trains a layer by SGD on crops and flips, and gives figures
// that are not to be compared with these.
//
// The protocol is that of CLIP (Radford et al. 2021, section A.3) and DINOv2 (Oquab et
// al. 2023, section 7.1): the classifier is minimised by L-BFGS, the strength of its L2
// penalty is the one of a logarithmic grid that does best on a held-out part of the
// training images, and it is then fitted to all of them. Dimensions are standardised by
// the training images. The objective is that of scikit-learn's LogisticRegression
// with lbfgs and C = 1/(L2 N): the mean cross-entropy plus L2/2 times the sum of the
// squared weights; the intercepts are free.
package linear

import (
	"context"
	"math"
	"slices"

	"vicreg/models/ort"
	"vicreg/pipeline/stats"
)

// Samples are vectors of images whose kinds are known.
type Samples struct {
	X      stats.Matrix // [N, D], finite
	Labels []int        // [N], from 0
	Parts  []int        // [N], as from Parts
}

// Prober trains classifiers. It does so on the host's processors, wherever the model
// runs: figures so depend on the vectors alone. 10,000 vectors of 2048 numbers and 100
// kinds take seconds there. It may be used by several goroutines at once.
type Prober struct {
	Runtime *ort.Runtime
	Threads int // 0 for all cores
}

// Result is what classifiers made of images they were not trained on.
type Result struct {
	Scores stats.Matrix // [N, K], the larger the likelier
	L2     []float64    // chosen for each classifier
}

// grid are the strengths of the penalty that are tried, the strongest first. Half a
// power of ten more or less moves the accuracy by a few tenths of a point.
var grid = func() (l2 []float64) {
	for i := range 15 {
		l2 = append(l2, math.Pow(10, 1.5-float64(i)/2))
	}
	return l2
}()

// patience is how many penalties are tried beyond the one with the lowest loss on the
// images that choose: the most are right at that one or soon after, and ever weaker
// ones take ever longer to fit.
const patience = 2

// Transfer trains a classifier of kinds on train and applies it to vectors [N, D].
func (p *Prober) Transfer(ctx context.Context, train Samples, x stats.Matrix, kinds int) (Result, error) {
	m, err := newProducts(p, x.D, kinds)
	if err != nil {
		return Result{}, err
	}
	defer m.close()
	c, err := m.train(ctx, train, heldOut(train, 0))
	if err != nil {
		return Result{}, err
	}
	scores, err := c.scores(ctx, x)
	return Result{Scores: scores, L2: []float64{c.l2}}, err
}

// CrossValidate gives each sample the scores of a classifier that was trained on the
// parts it is not in. Of these the next one serves to choose the penalty, so that
// nothing of a part has a say in what it is tested with.
func (p *Prober) CrossValidate(ctx context.Context, s Samples, kinds int) (Result, error) {
	m, err := newProducts(p, s.X.D, kinds)
	if err != nil {
		return Result{}, err
	}
	defer m.close()
	r := Result{Scores: stats.New(s.X.N, kinds)}
	for part := range PartCount {
		test := heldOut(s, part)
		train := s.without(test)
		c, err := m.train(ctx, train, heldOut(train, (part+1)%PartCount))
		if err != nil {
			return Result{}, err
		}
		scores, err := c.scores(ctx, s.at(test).X)
		if err != nil {
			return Result{}, err
		}
		for i, at := range test {
			copy(r.Scores.Row(at), scores.Row(i))
		}
		r.L2 = append(r.L2, c.l2)
	}
	return r, nil
}

// train chooses the penalty by the samples of valid, that with which most of them are
// right, of equal ones that with the lowest loss, and fits a classifier to all.
func (m *products) train(ctx context.Context, s Samples, valid []int) (*classifier, error) {
	o, held := newObjective(ctx, m, s.without(valid)), s.at(valid)
	var best *classifier
	most, lossOfBest, lowest, worse := -1.0, 0.0, math.Inf(1), 0
	start := make([]float64, o.size())
	for _, l2 := range grid {
		c, err := o.minimize(l2, looseTolerance, start)
		if err != nil {
			return nil, err
		}
		scores, err := c.scores(ctx, held.X)
		if err != nil {
			return nil, err
		}
		right := stats.Accuracy(Classes(scores), held.Labels)
		loss, _ := crossEntropy(scores, make([]float64, m.k), held.Labels)
		if right > most || right == most && loss < lossOfBest {
			best, most, lossOfBest = c, right, loss
		}
		if worse++; loss < lowest {
			lowest, worse = loss, 0
		}
		if worse == patience {
			break
		}
		start = c.weights
	}
	return newObjective(ctx, m, s).minimize(best.l2, tolerance, best.weights)
}

// heldOut are the indices of the samples in a part.
func heldOut(s Samples, part int) (at []int) {
	for i, p := range s.Parts {
		if p == part {
			at = append(at, i)
		}
	}
	return at
}

// at are the samples of these indices, copied.
func (s Samples) at(indices []int) Samples {
	out := Samples{X: stats.New(len(indices), s.X.D)}
	for row, i := range indices {
		copy(out.X.Row(row), s.X.Row(i))
		out.Labels, out.Parts = append(out.Labels, s.Labels[i]), append(out.Parts, s.Parts[i])
	}
	return out
}

// without are the samples of all other indices than these, which are sorted.
func (s Samples) without(indices []int) Samples {
	var rest []int
	for i := range s.Labels {
		if _, in := slices.BinarySearch(indices, i); !in {
			rest = append(rest, i)
		}
	}
	return s.at(rest)
}
