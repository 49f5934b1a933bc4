package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/steps"
)

// paritySteps are how many steps are compared, and parityBound how far a loss of float32
// without TF32 may be from the CPU's. The rate is low: what rounding does to the signs
// of numbers near zero, which ReLU cuts, grows with every step, and with the rate. Of the
// blocks' convolutions such steps see little; for those there is gradients.
const (
	paritySteps = 20
	parityBound = 1e-3
	parityRate  = 1e-4
)

// trainingRate is that of a run with adamw, which is compared alike: there what a gradient
// lacks shows, as each parameter moves as far, however small its gradient. On images and
// another kind of kernels for the CPU 20 such steps stay within 7e-5; at ten times the rate
// they do not stay within the bound, only within 1.3e-3.
const trainingRate = 2e-4

// parity takes the same steps on the CPU and on the device. On a machine without one
// the CPU's two kinds of kernels are compared. The other precisions are shown, too.
func parity(ctx context.Context, b *bench) error {
	s := steps.Setup{Name: "parity", Model: "resnet18", Stem: "cifar", Expander: "512-512-512", Width: 64, Size: 32, Batch: 64}
	if b.quick {
		s = s.Small()
	}
	batches, err := b.batches(ctx, s.Batch, s.Size, paritySteps)
	if err != nil {
		return err
	}
	if err := b.parityBy(s, batches, parityRate); err != nil {
		return err
	}
	s.Optimizer = "adamw"
	return b.parityBy(s, batches, trainingRate)
}

// parityBy compares by one optimiser.
func (b *bench) parityBy(s steps.Setup, batches []tensor.Batch, rate float64) error {
	reference, err := losses(s.On(ort.Device{}, "fp32", b.threads), batches, rate)
	if err != nil {
		return fmt.Errorf("on the CPU: %w", err)
	}
	for _, other := range b.others(s) {
		name := strings.TrimLeft(s.Optimizer+"_"+other.Precision+"_"+other.Kernels, "_")
		got, err := losses(other, batches, rate)
		if err != nil {
			b.verdict(false, "%s runs on %v: %v", name, b.device, err)
			continue
		}
		worst := b.compare(name, reference, got)
		if other.Precision == "fp32" {
			b.verdict(worst <= parityBound, "%s: the losses of %d steps are within %.1e of the CPU's (at most %.0e)", name, paritySteps, worst, parityBound)
		}
	}
	return nil
}

// others are what is compared with float32 on the CPU.
func (b *bench) others(s steps.Setup) (all []steps.Setup) {
	if b.onHost() {
		s = s.On(b.device, "fp32", b.threads)
		s.Kernels = "portable"
		return []steps.Setup{s}
	}
	for _, kernels := range []string{"auto", "portable"} {
		for _, precision := range []string{"fp32", "tf32", "fp16", "bf16"} {
			if precision == "bf16" && kernels == "portable" {
				continue // which lack it
			}
			s := s.On(b.device, precision, b.threads)
			s.Kernels = kernels
			all = append(all, s)
		}
	}
	return all
}

// compare prints two lists of losses and returns their largest relative difference.
func (b *bench) compare(precision string, reference, got []float64) (worst float64) {
	for i, want := range reference {
		worst = max(worst, math.Abs(got[i]/want-1)) // a NaN stays
	}
	say("%s: worst %.2e; losses on the CPU %.4f ... %.4f, here %.4f ... %.4f", precision, worst,
		reference[0], reference[len(reference)-1], got[0], got[len(got)-1])
	b.figures.Add("worst_"+precision+"_1e6", 1e6*worst)
	return worst
}

// losses are those of a step on each of the batches.
func losses(s steps.Setup, batches []tensor.Batch, rate float64) (all []float64, err error) {
	r, err := steps.Open(s)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	own, err := r.NewBatch()
	if err != nil {
		return nil, err
	}
	for _, batch := range batches {
		if err := copyViews(own, batch); err != nil {
			return nil, err
		}
		scalars, err := r.Take(own, nil, rate)
		if err != nil {
			return nil, err
		}
		all = append(all, scalars["loss"])
	}
	return all, nil
}
