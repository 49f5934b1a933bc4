package main

import (
	"context"
	"fmt"
	"time"

	"vicreg/models/graph"
	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// allForms times whole steps in every form that a graph for CUDA can take, captured;
// the loss of the first step shows that they compute the same.
func allForms(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	kernels := []string{"auto"}
	if !b.onHost() {
		kernels = nil
		for _, f := range graph.AllForms() {
			kernels = append(kernels, f.Name)
		}
	}
	fmt.Printf("  %v\n", s)
	failed := 0
	for _, k := range kernels {
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
	b.verdict(failed == 0, "all forms of a step run on %v", b.device)
	return nil
}
