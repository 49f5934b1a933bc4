package main

import (
	"context"
	"fmt"
	"time"

	"vicreg/scripts/bench/steps"
)

// Requirements on a step relative to PyTorch's: the minimum ratio of images per second to the eager
// one, the target for the compiled one, and the maximum ratio of memory.
const (
	overEager    = 0.8
	overCompiled = 1.3
	memoryOver   = 1.1
)

// setup returns a step with the settings that the pieces run it with.
func (b *bench) setup(s steps.Setup, precision string) steps.Setup {
	if b.quick {
		s = s.Small()
	}
	return s.On(b.device, b.precision(precision), b.threads)
}

// compareStep measures one step and PyTorch's equivalent.
func compareStep(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	fmt.Printf("  %v\n", s)
	a := &steps.Alone{Device: b.device, Rounds: 5, Round: time.Second, Batch: s.Batch, Until: b.begin.Add(b.budget)}
	if b.quick {
		a.Rounds, a.Round = 2, time.Millisecond
	}
	err := a.Compare(s, b.python)
	a.Figures(&b.figures, "")
	if speed, memory, ok := a.Over(steps.Vicreg, steps.Eager); ok {
		b.fast(speed >= overEager, "%.3f times the images a second of PyTorch's eager step (required: %.1f)", speed, overEager)
		b.fast(memory <= memoryOver, "%.3f of the memory of PyTorch's eager step (at most: %.1f)", memory, memoryOver)
	}
	if speed, memory, ok := a.Over(steps.Vicreg, steps.Compiled); ok {
		b.fast(speed >= overCompiled, "%.3f times the images a second of PyTorch's compiled step (aim: %.1f)", speed, overCompiled)
		say("%.3f of the memory of PyTorch's compiled step", memory)
	}
	return err
}
