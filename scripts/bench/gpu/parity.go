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

// paritySteps is the number of steps compared, and parityBound the tolerated relative difference of
// a loss in float32 without TF32 from the CPU's. The rate is low because the effect of rounding on
// the signs of near-zero values, which ReLU clips, grows with every step and with the rate. Such
// steps are insensitive to the blocks' convolutions; gradients covers those.
const (
	paritySteps = 20
	parityBound = 1e-3
	parityRate  = 1e-4
)

// trainingRate is the rate of a run with adamw, which is compared in the same way: it reveals
// missing gradients, since each parameter moves equally far however small its gradient. On images
// and with the CPU's other kind of kernels, 20 such steps stay within 7e-5; at ten times the rate
// they exceed the bound, at 1.3e-3.
const trainingRate = 2e-4

// parity takes the same steps on the CPU and on the device; on a machine without one it compares
// the CPU's two kinds of kernels. The other precisions are reported, too.
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

// parityBy compares with one optimiser.
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

// others returns the setups that are compared with float32 on the CPU.
func (b *bench) others(s steps.Setup) (all []steps.Setup) {
	if b.onHost() {
		s = s.On(b.device, "fp32", b.threads)
		s.Kernels = "portable"
		return []steps.Setup{s}
	}
	for _, kernels := range []string{"auto", "portable"} {
		for _, precision := range []string{"fp32", "tf32", "fp16", "bf16"} {
			if precision == "bf16" && kernels == "portable" {
				continue // not implemented
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
		worst = max(worst, math.Abs(got[i]/want-1)) // NaN persists
	}
	say("%s: worst %.2e; losses on the CPU %.4f ... %.4f, here %.4f ... %.4f", precision, worst,
		reference[0], reference[len(reference)-1], got[0], got[len(got)-1])
	b.figures.Add("worst_"+precision+"_1e6", 1e6*worst)
	return worst
}

// losses returns the losses of one step on each of the batches.
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
