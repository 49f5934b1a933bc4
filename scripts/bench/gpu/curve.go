package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// Requirements on the losses of a run in fp16 relative to those in fp32: means over windows of
// curveWindow steps are within curveBound, over curveSteps.
const (
	curveSteps  = 500
	curveWindow = 50
	curveBound  = 0.02
)

// training returns the settings of a run on CIFAR-10 that curve, learn and resume share. At this
// rate whole runs are not comparable: with 256 images per view two runs that differ only by
// rounding diverge within 40 steps, and with 512 the loss jumps after 20 and never returns to its
// level, on a CPU, too.
func (b *bench) training(dir string, epochs, batch int) []string {
	set := []string{"train", "--data", dir, "--holdout", "0", "--image-size", "32", "--seed", "1", "--optimizer", "adamw",
		"--lr", "0.001", "--warmup", fmt.Sprint(float64(epochs) / 10), "--epochs", fmt.Sprint(epochs), "--threads", fmt.Sprint(b.threads)}
	if b.quick {
		return append(set, "--width", "8", "--batch", "32", "--expander", "64-64-64")
	}
	return append(set, "--width", "64", "--batch", fmt.Sprint(batch), "--expander", "2048-2048-2048")
}

// curve compares the losses of a run in fp16 with those of the same run in fp32; on a machine
// without a device, those of the two kinds of kernels.
func curve(ctx context.Context, b *bench) error {
	dir, err := b.cifar("train")
	if err != nil {
		return err
	}
	// An epoch of 50,000 images has 195 batches of 256.
	steps, window, epochs := curveSteps, curveWindow, 3
	if b.quick {
		steps, window, epochs = 10, 5, 1
		if dir, err = b.excerpt(dir, 320); err != nil {
			return err
		}
	}
	first, second := "fp32", "fp16"
	if b.onHost() {
		first, second = "auto", "portable"
	}
	losses := map[string][]float64{}
	for _, name := range []string{second, first} {
		flags := []string{"--kernels", name}
		if !b.onHost() {
			if flags, err = b.in(name); err != nil {
				return err
			}
		}
		out := filepath.Join(b.work, "curve-"+name)
		args := append(append(b.training(dir, epochs, 256), "--out", out, "--force"), flags...)
		if _, err := b.program(ctx, "curve-"+name, b.device, args...); err != nil {
			return err
		}
		if losses[name], err = lossesOf(out); err != nil {
			return err
		}
		if len(losses[name]) < steps {
			return fmt.Errorf("%d steps in %s, want %d", len(losses[name]), out, steps)
		}
		say("%s begins with %.4f", name, losses[name][:window/5])
	}
	worst := windows(first, losses[first][:steps], second, losses[second][:steps], window)
	b.figures.Add("worst", worst)
	b.verdict(worst <= curveBound, "over %d steps, means of %d losses in %s are within %.2f %% of those in %s (at most %.0f %%)", steps, window, second, 100*worst, first, 100*curveBound)
	return nil
}

// windows prints the means of two lists over windows and returns their largest relative difference.
func windows(first string, a []float64, second string, b []float64, window int) (worst float64) {
	for at := 0; at+window <= len(a); at += window {
		x, y := mean(a[at:at+window]), mean(b[at:at+window])
		e := math.Abs(y/x - 1)
		worst = max(worst, e) // NaN persists
		say("steps %3d to %3d: %s %.4f, %s %.4f, off by %.3f %%", at, at+window-1, first, x, second, y, 100*e)
	}
	return worst
}

func mean(xs []float64) (m float64) {
	for _, x := range xs {
		m += x / float64(len(xs))
	}
	return m
}

// metric is a line of a run's metrics file.
type metric struct {
	Kind     string
	Step     int64
	Accepted bool
	Loss, Lr float64
}

// metricsOf reads the metrics of a run's steps.
func metricsOf(run string) (all []metric, err error) {
	f, err := os.Open(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var m metric
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		if m.Kind == "step" {
			all = append(all, m)
		}
	}
	return all, nil
}

// lossesOf returns the losses of a run's accepted steps.
func lossesOf(run string) (all []float64, err error) {
	lines, err := metricsOf(run)
	for _, m := range lines {
		if m.Accepted {
			all = append(all, m.Loss)
		}
	}
	return all, err
}
