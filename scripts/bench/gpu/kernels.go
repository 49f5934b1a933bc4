package main

import (
	"context"
	"fmt"
	"time"

	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// kernels times whole steps with either kind of kernels, captured on a device; the loss
// of the first step shows that they compute the same.
func kernels(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	fmt.Printf("  %v\n", s)
	failed := 0
	for _, k := range []string{"auto", "portable"} {
		if b.left() < 15*time.Second {
			say("LEFT OUT, for want of time: %s", k)
			continue
		}
		s.Kernels = k
		a := &steps.Alone{Device: b.device, Rounds: 2, Round: time.Second, Batch: s.Batch, Until: b.begin.Add(b.budget)}
		if b.quick {
			a.Round = time.Millisecond
		}
		if err := a.Run(steps.Ours(k, s)); err != nil {
			say("%s FAILED: %v", k, err)
			failed++
			continue
		}
		ms := peer.Median(a.Of(k).Ms)
		fmt.Printf("  %8.2f ms  %8.1f images/s  %s\n", ms, 1000*float64(s.Batch)/ms, k)
		b.figures.Add(k+"_ms", ms)
	}
	b.verdict(failed == 0, "steps with either kind of kernels run on %v", b.device)
	return nil
}
