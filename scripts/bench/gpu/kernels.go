package main

import (
	"context"
	"fmt"
	"time"

	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// kernels times whole steps with either kind of kernels, captured on a device; the loss of the
// first step shows that they compute the same thing.
func kernels(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	var all []steps.Setup
	for _, k := range []string{"auto", "portable"} {
		s.Name, s.Kernels = k, k
		all = append(all, s)
	}
	failed := b.times(all)
	b.verdict(failed == 0, "steps with either kind of kernels run on %v", b.device)
	return nil
}

// precisions times whole steps in each precision, with the views as one batch and one after the
// other. On a machine without a device there is a single variant.
func precisions(_ context.Context, b *bench, s steps.Setup) error {
	var all []steps.Setup
	for _, p := range []string{"fp16", "bf16", "tf32", "fp32"} {
		s := b.setup(s, p)
		s.Name = p + "_together"
		all = append(all, s)
		s.Name, s.Apart = p+"_apart", true
		all = append(all, s)
	}
	if b.onHost() {
		all = all[:1]
	}
	failed := b.times(all)
	b.verdict(failed == 0, "steps in every precision run on %v", b.device)
	return nil
}

// sums times whole steps whose convolutions compute the statistics of their output as they write
// it, where that is quicker, and steps that read it again for them. On a machine without a device
// there is a single variant.
func sums(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	var all []steps.Setup
	for _, name := range []string{"auto", "apart"} {
		s.Name, s.SumsApart = name, name == "apart"
		all = append(all, s)
	}
	if b.onHost() {
		all = all[:1]
	}
	failed := b.times(all)
	b.verdict(failed == 0, "steps with statistics from convolutions, and without, run on %v", b.device)
	return nil
}

// times measures steps one after the other until the time budget is spent, and returns how many
// failed to run.
func (b *bench) times(all []steps.Setup) (failed int) {
	a := &steps.Alone{Device: b.device, Rounds: 2, Round: time.Second, Until: b.begin.Add(b.budget)}
	if b.quick {
		a.Round = time.Millisecond
	}
	for _, s := range all {
		if a.Batch = s.Batch; b.left() < 15*time.Second {
			say("LEFT OUT, for want of time: %s", s.Name)
			continue
		}
		fmt.Printf("  %s: %v\n", s.Name, s)
		if err := a.Run(steps.Ours(s.Name, s)); err != nil {
			say("%s FAILED: %v", s.Name, err)
			failed++
			continue
		}
		b.figures.Add(s.Name+"_ms", peer.Median(a.Of(s.Name).Ms))
		b.figures.Add(s.Name+"_mb", a.Of(s.Name).Bytes/1e6)
	}
	return failed
}
