package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"

	"vicreg/models/tensor"
	"vicreg/pipeline/stats"
)

const (
	// tolerance is the largest element of the gradient at which a fit has converged; scikit-learn's
	// default. The noise of float32 scores is about a hundredth of it.
	tolerance = 1e-4
	// looseTolerance is for the fits that only choose the penalty. With 1e-3, fits with weak
	// penalties would stop where the preceding stronger one did.
	looseTolerance = 3e-4
	// iterations ends a fit that does not converge.
	iterations = 200
	// fruitless is the number of consecutive evaluations, of value or gradient, without a lower
	// loss that also ends a fit: where the loss is flat down to the last bits of the scores, a line
	// search would never end.
	fruitless = 40
)

// objective is the penalised loss of a classifier on training vectors. Its argument is the weights
// [K, D] followed by the intercepts [K].
type objective struct {
	ctx    context.Context
	m      *products
	scale  scale
	x      *tensor.Tensor // [N, D], standardised
	labels []int
	l2     float64

	lowest float64 // lowest loss of this fit
	since  int     // evaluations since the lowest loss

	at   []float64      // argument of the last evaluation
	loss float64        // its loss
	miss *tensor.Tensor // [N, K], derivatives of the loss there by the scores: softmax less 1 at the label, over N
	bias []float64      // [K], column sums of miss
	err  error          // ends the minimisation
}

func newObjective(ctx context.Context, m *products, s Samples) *objective {
	o := &objective{ctx: ctx, m: m, scale: scaleOf(s.X), labels: s.Labels}
	o.x = o.scale.apply(s.X)
	return o
}

func (o *objective) size() int { return o.m.k * (o.m.d + 1) }

// minimize fits a classifier from start, which it does not modify.
func (o *objective) minimize(l2, tolerance float64, start []float64) (*classifier, error) {
	o.l2, o.at, o.err, o.lowest, o.since = l2, nil, nil, math.Inf(1), 0
	problem := optimize.Problem{Func: o.value, Grad: o.gradient, Status: func() (optimize.Status, error) {
		if o.err != nil {
			return optimize.Failure, o.err
		}
		if o.since >= fruitless {
			return optimize.FunctionConvergence, nil
		}
		return optimize.NotTerminated, nil
	}}
	r, err := optimize.Minimize(problem, start, &optimize.Settings{
		GradientThreshold: tolerance, MajorIterations: iterations, Converger: optimize.NeverTerminate{},
	}, &optimize.LBFGS{Linesearcher: &optimize.MoreThuente{}})
	if o.err != nil {
		return nil, fmt.Errorf("train a linear classifier: %w", o.err)
	}
	// With a result, err is ignored: a line search gives up once the loss is flat to its last bits.
	if r == nil {
		return nil, fmt.Errorf("train a linear classifier: %w", errors.Join(err, errors.New("no step could be taken")))
	}
	return &classifier{m: o.m, scale: o.scale, weights: slices.Clone(r.X), l2: l2, loss: r.F, evaluations: r.FuncEvaluations}, nil
}

// value implements optimize.Problem.
func (o *objective) value(w []float64) float64 {
	o.evaluate(w)
	return o.loss
}

// gradient implements optimize.Problem.
func (o *objective) gradient(g, w []float64) {
	o.evaluate(w)
	if o.err != nil {
		return
	}
	out, err := o.m.gradient(o.ctx, o.miss, o.x)
	if err != nil {
		o.err = err
		return
	}
	penalised := o.m.k * o.m.d
	for i, v := range out.Float32() {
		g[i] = float64(v) + o.l2*w[i]
	}
	copy(g[penalised:], o.bias)
}

// evaluate computes loss, miss and bias at w, unless they are up to date.
func (o *objective) evaluate(w []float64) {
	o.since++ // also if the step vanished and w is unchanged
	if o.err != nil || o.at != nil && slices.Equal(w, o.at) {
		return
	}
	o.at = append(o.at[:0], w...)
	var scores *tensor.Tensor
	if scores, o.err = o.m.scores(o.ctx, o.x, w); o.err != nil {
		o.loss = math.NaN()
		return
	}
	o.miss = scores
	n, k := len(o.labels), o.m.k
	intercepts := w[k*o.m.d:]
	o.loss, o.bias = crossEntropy(stats.Of(scores.Float32(), n, k), intercepts, o.labels)
	for _, v := range w[:k*o.m.d] {
		o.loss += o.l2 / 2 * v * v
	}
	if o.loss < o.lowest {
		o.lowest, o.since = o.loss, 0
	}
}
