package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// envBlocking makes every launch on a CUDA device synchronous, so that the runtime's profiler
// measures the kernel and not its launch.
const envBlocking = "CUDA_LAUNCH_BLOCKING"

// profile shows where the time of a step goes: of ours with the runtime's profiler, and of
// PyTorch's eager one with its own.
func profile(_ context.Context, b *bench, s steps.Setup) error {
	s = b.setup(s, "fp16")
	fmt.Printf("  %v\n", s)
	a := &steps.Alone{Device: b.device, Rounds: 2, Round: time.Second, Batch: s.Batch}
	if b.quick {
		a.Round = time.Millisecond
	}
	if err := a.Run(steps.Ours(steps.Vicreg, s)); err != nil {
		return err
	}
	t, err := b.blocking(s)
	if err != nil {
		return err
	}
	b.tables(t)
	b.figures.Add("step_ms", peer.Median(a.Of(steps.Vicreg).Ms))
	b.figures.Add("waited_ms", t.ms)
	b.figures.Add("nodes_ms", t.total())
	if b.python == "" {
		say("SKIPPED: PyTorch's profile")
		return nil
	}
	if err := os.Unsetenv(envBlocking); err != nil { // PyTorch's profiler does not need it
		return err
	}
	return profileTorch(b.python, s)
}

// blocking profiles a step with synchronous launches.
func (b *bench) blocking(s steps.Setup) (*trace, error) {
	if err := os.Setenv(envBlocking, "1"); err != nil {
		return nil, err
	}
	warm, runs := 3, 3
	if b.quick {
		warm, runs = 1, 1
	}
	return b.profileStep(s, warm, runs)
}

func (b *bench) tables(t *trace) {
	total := t.total()
	fmt.Printf("\n  one step, each launch waited for: %.2f ms, of which %.2f ms in its %d nodes\n",
		t.ms, total, len(t.nodes)/t.runs)
	peak := node{}
	for _, n := range t.nodes {
		if n.InUse > peak.InUse {
			peak = n
		}
	}
	if peak.InUse > 0 {
		fmt.Printf("  most memory in use, %.0f MB, behind %s (%s)\n", peak.InUse/1e6, peak.Name, byShape(peak))
	}
	for _, by := range []struct {
		what string
		key  func(node) string
		most int
	}{{"by part", byPart, 20}, {"by operator", byOperator, 25}, {"by operator and shape", byShape, 40}} {
		fmt.Printf("\n  %s\n", by.what)
		printRows(t.rows(by.key), total, by.most)
	}
}

// profileTorch prints the slowest operators of PyTorch's step.
func profileTorch(python string, s steps.Setup) error {
	p, err := steps.Torch(steps.Eager, python, s, "channels_last").Start()
	if err != nil {
		return err
	}
	defer p.Stop()
	if err := p.Ask("steps 3", nil); err != nil {
		return err
	}
	var answer struct {
		Rows [][]any
	}
	if err := p.Ask("profile 3", &answer); err != nil {
		return err
	}
	total := 0.0
	for _, r := range answer.Rows {
		total += r[1].(float64)
	}
	fmt.Printf("\n  PyTorch's eager step, by operator and shapes of its inputs: %.2f ms\n", total)
	fmt.Printf("  %8s %6s %6s  %s\n", "ms", "%", "calls", "what")
	for _, r := range answer.Rows[:min(len(answer.Rows), 40)] {
		fmt.Printf("  %8.3f %6.1f %6.0f  %s %s\n", r[1], 100*r[1].(float64)/total, r[2], r[0], r[3])
	}
	return nil
}
