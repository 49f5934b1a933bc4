package pipeline

import (
	"fmt"
	"math"
)

// Health is the result of measuring the held-out images.
type Health struct {
	// The loss and its terms. Covariance depends on the batch size: given enough images it is
	// converted to what it would be in batches of training's size.
	Loss, Invariance, Variance, Covariance float64
	// Spread is the mean standard deviation of the L2-normalised embeddings times sqrt(D): near 1
	// in a healthy run, near 0 in a collapsed one.
	Spread float64
	// Rank is RankMe of the representations, at most MostRank: the smaller of D and the number of
	// images.
	Rank     float64
	MostRank int
	// Alignment is the mean cosine of two views' embeddings; Retrieval is the fraction of images
	// whose nearest embedding is their own other view.
	Alignment, Retrieval float64
	// Images is the number of images measured, Of the number held out. The chance level of
	// Retrieval is 1/Images.
	Images, Of int
}

// fewWatched is the minimum of images for figures that are more than noise.
const fewWatched = 30

// chance is the Retrieval of random embeddings.
func (h Health) chance() float64 { return 1 / float64(h.Images) }

func (h Health) values() map[string]float64 {
	return map[string]float64{"loss": h.Loss, "invariance": h.Invariance, "variance": h.Variance, "covariance": h.Covariance,
		"spread": h.Spread, "rank": h.Rank, "alignment": h.Alignment, "retrieval": h.Retrieval,
		"chance": h.chance(), "held_out": float64(h.Images)}
}

// String formats the tail of the epoch line.
func (h Health) String() string {
	images := fmt.Sprint(h.Images)
	if h.Images < h.Of {
		images += fmt.Sprintf(" of %d", h.Of)
	}
	noise := ""
	if h.Images < fewWatched {
		noise = ", so few that this is noise"
	}
	loss := fmt.Sprintf("%.3f", h.Loss)
	if h.Loss >= 1e4 {
		loss = fmt.Sprintf("%.3g", h.Loss)
	}
	return fmt.Sprintf("  | %s held out%s: loss %s  spread %.2f  rank %.0f of at most %d  other view found %.0f %% (chance %.2g %%)",
		images, noise, loss, h.Spread, h.Rank, h.MostRank, 100*h.Retrieval, 100*h.chance())
}

// apartFactor is far beyond any ratio seen in a healthy run, where the two losses are nearly equal.
const apartFactor = 10

// apart reports a loss on the held-out images out of all proportion to train, the mean training
// loss; "" if it is not. Held-out images use the running statistics, training those of each batch.
// The covariance term is left out, since with few images it can take any value.
func (c *Config) apart(train float64, h *Health) string {
	if h == nil || c.Loss.Invariance*h.Invariance+c.Loss.Variance*h.Variance <= apartFactor*train {
		return ""
	}
	if math.IsNaN(train) { // no step was accepted
		return ""
	}
	return fmt.Sprintf("the loss is %.3g on the held-out images and %.3g in training", h.Loss, train)
}

// unlearnt reports that a run's last figures are no better than those before its first step, beyond
// chance; "" if they are better, or are noise, missing, or of different images.
func unlearnt(first, last *Health) string {
	if first == nil || last == nil || last.Images < fewWatched || last.Images != first.Images {
		return ""
	}
	p := max(first.Retrieval, first.chance())
	finds := first.Retrieval + 2*math.Sqrt(p*(1-p)/float64(first.Images)) // two standard errors
	if last.Rank > first.Rank && last.Retrieval > min(finds, foundAlmostAll) {
		return ""
	}
	return fmt.Sprintf("the held-out images have rank %.0f and match their other view in %.0f %% after training, rank %.0f and %.0f %% before: "+
		"so the run seems to have learnt little; more --epochs, more images, or another --lr may help",
		last.Rank, 100*last.Retrieval, first.Rank, 100*first.Retrieval)
}

// foundAlmostAll is a Retrieval so high that it need not improve.
const foundAlmostAll = 0.9
