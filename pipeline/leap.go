package pipeline

import (
	"fmt"
	"slices"
)

// A leap is a gradient norm of leapFactor times the median of the preceding ones. It often precedes
// a run that stops learning.
const (
	leapFactor = 20
	leapLong   = 100 // norms in the median, at most
	leapShort  = 5   // and at least

	// In the first steps learning rates are lowest and norms tend to fall, so a smaller factor is a
	// leap.
	leapEarly       = 20 // norms
	leapEarlyFactor = 8
)

// leaps looks for leaps in the norms of a run's accepted steps.
type leaps struct {
	norms []float64 // the last ones, unordered
	count int       // of all added
	high  bool      // the last norm was above the threshold
}

// add adds a norm. It returns the median of the preceding ones and whether the norm starts a leap:
// further norms as high do not start another.
func (l *leaps) add(norm float64) (median float64, leapt bool) {
	if n := len(l.norms); n >= leapShort {
		sorted := slices.Clone(l.norms)
		slices.Sort(sorted)
		median = sorted[n/2]
		factor := float64(leapFactor)
		if n < leapEarly {
			factor = leapEarlyFactor
		}
		high := norm > factor*median
		leapt, l.high = high && !l.high, high
	}
	if len(l.norms) < leapLong {
		l.norms = append(l.norms, norm)
	} else {
		l.norms[l.count%leapLong] = norm
	}
	l.count++
	return median, leapt
}

// leap warns if a step's gradient leaps.
func (p *progress) leap(norm float64) {
	median, leapt := p.leaps.add(norm)
	if !leapt {
		return
	}
	help := "a lower --lr, a longer --warmup or --clip-norm"
	if p.run.Optimizer.ClipNorm > 0 {
		help = "a lower --lr or a longer --warmup"
	}
	p.Clear()
	fmt.Fprintf(p.out, "vicreg train: step %d: the gradient norm jumped to %.3g from a median of %.3g; if the loss stays high, start again with %s\n",
		p.run.position.Step, norm, median, help)
}
