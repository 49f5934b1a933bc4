package linear

import (
	"math"
	"sync"

	"vicreg/pipeline/stats"
)

// softmaxRows is the block of rows processed by one goroutine. Block sums are added in order, so
// that the loss does not depend on the number of cores.
const softmaxRows = 512

// crossEntropy adds the intercepts to the scores [N, K] and replaces them by the derivatives of the
// mean cross-entropy with respect to them: softmax less 1 at the label, over N. It returns the loss
// and the column sums of the derivatives [K].
func crossEntropy(scores stats.Matrix, intercepts []float64, labels []int) (loss float64, sums []float64) {
	blocks := (scores.N + softmaxRows - 1) / softmaxRows
	losses, partial := make([]float64, blocks), make([][]float64, blocks)
	var wg sync.WaitGroup
	for b := range blocks {
		wg.Go(func() {
			p, sum := make([]float64, scores.D), make([]float64, scores.D)
			for i := b * softmaxRows; i < min((b+1)*softmaxRows, scores.N); i++ {
				losses[b] += softmax(scores.Row(i), intercepts, p, labels[i])
				for j := range p {
					p[j] /= float64(scores.N)
					sum[j] += p[j]
					scores.Row(i)[j] = float32(p[j])
				}
			}
			partial[b] = sum
		})
	}
	wg.Wait()
	sums = make([]float64, scores.D)
	for b := range blocks {
		loss += losses[b] / float64(scores.N)
		for j, v := range partial[b] {
			sums[j] += v
		}
	}
	return loss, sums
}

// softmax writes the probabilities of a row, less 1 at the label, to p and returns the
// cross-entropy of the row.
func softmax(row []float32, intercepts, p []float64, label int) float64 {
	most := math.Inf(-1)
	for j, v := range row {
		p[j] = float64(v) + intercepts[j]
		most = max(most, p[j])
	}
	at, sum := p[label]-most, 0.0
	for j, v := range p {
		p[j] = math.Exp(v - most)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	p[label]--
	return math.Log(sum) - at
}
