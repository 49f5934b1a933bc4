package pipeline

import (
	"fmt"
	"io"
)

// Thresholds at which embeddings count as collapsed; the README has a column of that name. A
// healthy run, however short, stays far from each once warm-up is over.
const (
	// Held-out images: at this spread the mean cosine of two embeddings is 0.99, and a rank this
	// low means that the representations lie on a line.
	collapsedSpread = 0.1
	collapsedRank   = 2
	// With fewer images the rank says nothing and the spread depends on the images more than on the
	// model: then only the variance term counts.
	fewRanked = 8
	// The variance term averaged over an epoch: 0.95 is a std of 0.05 where VICReg's target is 1. A
	// new model starts near 0.66.
	collapsedVariance = 0.95
)

// collapse warns once of collapsed embeddings or a diverging held-out loss, and again after a
// recovery.
type collapse struct{ told bool }

// looks describes what in an epoch's figures looks collapsed, "" for nothing. health is nil if no
// image is held out. variance is the term's mean over the epoch; it is ignored for epochs that
// include warm-up steps, which are small.
func (c *Config) looks(done, perEpoch int, variance float64, health *Health) string {
	if health != nil && health.Images >= fewRanked && done*perEpoch > c.Schedule.Warmup &&
		health.Spread < collapsedSpread && health.Rank < collapsedRank {
		return fmt.Sprintf("held-out images have spread %.2f and rank %.0f", health.Spread, health.Rank)
	}
	if (done-1)*perEpoch >= c.Schedule.Warmup && variance > collapsedVariance {
		return fmt.Sprintf("a variance term of %.2f, where 1 is a std of 0", variance)
	}
	return ""
}

// warn prints one line when a finding is new: that the embeddings look collapsed, or that the
// held-out loss has diverged from the training loss, which would explain a collapse and takes
// precedence.
func (c *collapse) warn(out io.Writer, epoch int, collapsed, apart string) {
	switch {
	case c.told:
	case apart != "":
		fmt.Fprintf(out, "vicreg train: epoch %d: %s: weights and running statistics have diverged; if this persists, start again with a lower --lr or a longer --warmup\n", epoch, apart)
	case collapsed != "":
		fmt.Fprintf(out, "vicreg train: epoch %d: the embeddings look collapsed: %s; if this persists, check the images (vicreg data check) "+
			"and the views (vicreg data preview), or try a lower --lr or a higher --variance\n", epoch, collapsed)
	}
	c.told = collapsed != "" || apart != ""
}

// doubt describes what is questionable about valid settings, "" for nothing.
func (c *Config) doubt() string {
	if c.Loss.Variance == 0 {
		return "--variance 0: nothing keeps the embeddings from collapsing to one point, which minimises the other terms"
	}
	return ""
}
