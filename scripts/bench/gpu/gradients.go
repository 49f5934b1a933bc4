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

// gradientBound is the tolerated relative error of a gradient in float32 without TF32 against the
// CPU's, and lossOfStep that of the loss. Between the CPU's two kinds of kernels, at this size, the
// worst gradients differ by 1.5e-3; they are those of normalisation biases.
const (
	gradientBound = 1e-2
	lossOfStep    = 1e-5
)

// gradients takes a step on the CPU and on the device at the size of a real run, where other
// kernels are the fastest than in parity, and compares the gradient of each parameter and each
// statistic. That localises an error in a kernel.
func gradients(ctx context.Context, b *bench) error {
	s := steps.R18
	s.Batch = 256
	if b.quick {
		s = s.Small()
	}
	batches, err := b.batches(ctx, s.Batch, s.Size, 1)
	if err != nil {
		return err
	}
	loss, want, err := stepOnce(s.On(ort.Device{}, "fp32", b.threads), batches[0])
	if err != nil {
		return fmt.Errorf("on the CPU: %w", err)
	}
	for _, v := range b.variants(s) {
		ofLoss, got, err := stepOnce(v, batches[0])
		if err != nil {
			b.verdict(false, "%s runs on %v: %v", v.Name, b.device, err)
			continue
		}
		off := math.Abs(ofLoss/loss - 1)
		worst := compareStates(v.Name, want, got)
		say("%s: loss %.6f, on the CPU %.6f", v.Name, ofLoss, loss)
		b.figures.Add("loss_"+v.Name+"_1e6", 1e6*off)
		b.figures.Add("worst_"+v.Name+"_1e6", 1e6*worst)
		if v.Precision == "fp32" {
			b.verdict(off <= lossOfStep && worst <= gradientBound, "%s: the loss is within %.1e of the CPU's (at most %.0e), and each gradient within %.1e (at most %.0e)", v.Name, off, lossOfStep, worst, gradientBound)
		}
	}
	return nil
}

// variants returns the graphs and kernels that are compared with the CPU's.
func (b *bench) variants(s steps.Setup) (all []steps.Setup) {
	add := func(name, precision, kernels string, apart bool) {
		v := s.On(b.device, precision, b.threads)
		v.Name, v.Kernels, v.Apart = name, kernels, apart
		all = append(all, v)
	}
	if b.onHost() {
		add("fp32_portable", "fp32", "portable", false)
		return all
	}
	add("fp32_together", "fp32", "auto", false)
	add("fp32_apart", "fp32", "auto", true)
	add("fp32_portable", "fp32", "portable", false)
	add("tf32", "tf32", "auto", false)
	add("fp16", "fp16", "auto", false)
	add("bf16", "bf16", "auto", false)
	return all
}

// stepOnce takes the first step whose gradient is finite, at whatever loss scale that needs, with
// SGD at a rate of 0. After it the momenta are the gradients plus weight decay.
func stepOnce(s steps.Setup, batch tensor.Batch) (loss float64, state map[string]*tensor.Tensor, err error) {
	s.Optimizer = "sgd"
	r, err := steps.Open(s)
	if err != nil {
		return 0, nil, err
	}
	defer r.Close()
	own, err := r.NewBatch()
	if err != nil {
		return 0, nil, err
	}
	if err := copyViews(own, batch); err != nil {
		return 0, nil, err
	}
	if err := awaken(r); err != nil {
		return 0, nil, err
	}
	for finite := false; !finite; {
		scalars, err := r.Take(own, nil, 0) // lowers the loss scale, or fails
		if err != nil {
			return 0, nil, err
		}
		loss, finite = scalars["loss"], scalars["finite"] == 1
	}
	state, err = r.Snapshot()
	return loss, state, err
}

// awaken sets normalisation weights that are initially 0 to 1. A ResNet starts with those at the
// end of each block at 0: the layers before them then have no gradient, so an error in their
// convolutions would not show. More than one step is not comparable then: within 20, rounding alone
// moves the loss by hundredths.
func awaken(r *steps.Run) error {
	state, err := r.Snapshot()
	if err != nil {
		return err
	}
	for name, t := range state {
		if values, ok := t.Data.([]float32); ok && len(t.Shape) == 1 && strings.HasSuffix(name, ".weight") && norm(values, nil) == 0 {
			for i := range values {
				values[i] = 1
			}
		}
	}
	return r.Restore(state)
}
