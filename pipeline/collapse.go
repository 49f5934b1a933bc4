package pipeline

import (
	"fmt"
	"io"
)

// When embeddings count as collapsed: README's column of that name, in numbers. A healthy
// run, however short, stays far from each, once its warm-up is over.
const (
	// Of the held-out images: at this spread the mean cosine of two embeddings is 0.99,
	// and so low a rank is that of representations on one line.
	collapsedSpread = 0.1
	collapsedRank   = 2
	// The rank of fewer images says nothing, and their spread is theirs, not the
	// model's: then only a mean cosine of 0.9996 counts.
	fewRanked            = 8
	collapsedSpreadOfFew = 0.02
	// Of the loss over a whole epoch: a std of 0.05 where VICReg wants 1. The terms of
	// a new model begin near 0.66.
	collapsedVariance = 0.95
)

// collapse tells of embeddings that have collapsed or of a loss that is apart, once until they recover.
type collapse struct{ told bool }

// looks says in words what of an epoch's figures looks collapsed, "" for nothing. health is
// nil where no image is held out; variance is the term's mean over the epoch, of which
// the warm-up, at the beginning, counts for nothing: there steps are small.
func (c *Config) looks(done, perEpoch int, variance float64, health *Health) string {
	if health != nil && done*perEpoch > c.Schedule.Warmup {
		least := collapsedSpread
		if health.Images < fewRanked {
			least = collapsedSpreadOfFew
		}
		if health.Spread < least && (health.Rank < collapsedRank || health.Images < fewRanked) {
			return fmt.Sprintf("spread %.2f and rank %.0f of the held-out images", health.Spread, health.Rank)
		}
	}
	if (done-1)*perEpoch >= c.Schedule.Warmup && variance > collapsedVariance {
		return fmt.Sprintf("a variance term of %.2f, where 1 is a std of 0", variance)
	}
	return ""
}

// warn prints one line when what was found is new: that the embeddings look collapsed, or
// that the held-out images' loss is apart from training's, which explains the first.
func (c *collapse) warn(out io.Writer, epoch int, collapsed, apart string) {
	switch {
	case c.told:
	case apart != "":
		fmt.Fprintf(out, "vicreg train: epoch %d: %s: weights and running statistics have run apart; should that stay, begin anew with a lower --lr or a longer --warmup\n", epoch, apart)
	case collapsed != "":
		fmt.Fprintf(out, "vicreg train: epoch %d: the embeddings look collapsed: %s; should that stay, see whether the images differ (vicreg data check) "+
			"and what training sees of them (vicreg data preview), or try a lower --lr or a higher --variance\n", epoch, collapsed)
	}
	c.told = collapsed != "" || apart != ""
}

// doubt is what is wrong with settings that are allowed, "" for nothing.
func (c *Config) doubt() string {
	if c.Loss.Variance == 0 {
		return "--variance 0: nothing keeps the embeddings from collapsing to one point, which the other terms like best"
	}
	return ""
}
