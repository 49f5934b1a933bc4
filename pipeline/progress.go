package pipeline

import (
	"fmt"
	"io"
	"time"

	"vicreg/pipeline/bulk"
)

// progress collects the figures for a run's progress line and prints it.
type progress struct {
	*bulk.Line
	out io.Writer
	run *run

	begin, last time.Time
	steps       int     // in this process
	rate        float64 // images per second, smoothed
	sum         map[string]float64
	count       int
	rejected    int // consecutive ones
	lost        int // rejected steps in this epoch
	leaps       leaps
	loss        float64 // mean over the last epoch; NaN if no step was accepted
	variance    float64 // the variance term's mean
	collapse    collapse
	bad         int // bad images already reported
}

func newProgress(out io.Writer, r *run) *progress {
	now := time.Now()
	return &progress{Line: bulk.NewLine(out), out: out, run: r, begin: now, last: now, sum: map[string]float64{}}
}

// step records a step's scalars, warns of a leap and prints the line if it is due.
func (p *progress) step(scalars map[string]float64, accepted bool) {
	now := time.Now()
	rate := float64(p.run.Batch) / now.Sub(p.last).Seconds()
	if p.steps == 0 {
		p.rate = rate
	}
	p.rate += 0.1 * (rate - p.rate)
	p.last = now
	p.steps++
	if accepted {
		p.count++
		for name, x := range scalars {
			p.sum[name] += x
		}
		p.leap(scalars["grad_norm"])
	} else {
		p.lost++
	}
	p.Show(func() string { return p.line(scalars) })
}

func (p *progress) line(s map[string]float64) string {
	r := p.run
	perEpoch := r.loader.BatchesPerEpoch()
	left := r.Epochs*perEpoch - r.position.Epoch*perEpoch - r.position.Batch
	eta := time.Duration(float64(left*r.Batch) / p.rate * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("epoch %d/%d  step %d  loss %.4f  inv %.4f  var %.4f  cov %.4f  %.1f images/s  %v left",
		min(r.position.Epoch+1, r.Epochs), r.Epochs, r.position.Step, s["loss"], s["invariance"], s["variance"], s["covariance"], p.rate, eta)
}

// epoch returns the line for the epoch that ended, with means over its accepted steps, and starts
// the next.
func (p *progress) epoch(done int) string {
	n := float64(p.count) // 0 makes them NaN
	p.loss, p.variance = p.sum["loss"]/n, p.sum["variance"]/n
	line := fmt.Sprintf("epoch %3d  loss %.4f  inv %.4f  var %.4f  cov %.4f  %.1f images/s",
		done, p.sum["loss"]/n, p.sum["invariance"]/n, p.sum["variance"]/n, p.sum["covariance"]/n, p.rate)
	if p.lost > 0 {
		line += fmt.Sprintf("  %d of %d steps rejected", p.lost, p.lost+p.count)
	}
	clear(p.sum)
	p.count, p.lost = 0, 0
	return line
}

// waitShare is the fraction of time that steps have spent waiting for data.
func (p *progress) waitShare() float64 {
	if p.steps == 0 {
		return 0
	}
	return float64(p.run.loader.Waited()) / float64(time.Since(p.begin))
}
