package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"vicreg/models/ort"
)

// resume moves a run from device to CPU and back, a step at a time, and compares its losses with
// those of a run that stays on the CPU. On a machine without a device the two kinds of kernels take
// turns.
func resume(ctx context.Context, b *bench) error {
	dir, err := b.cifar("train")
	if err != nil {
		return err
	}
	if dir, err = b.excerpt(dir, 320); err != nil {
		return err
	}
	small := *b
	small.quick = true // small sizes: a step is instant, and only loading counts
	settings := small.training(dir, 1, 32)
	stays, relay := filepath.Join(b.work, "resume-stays"), filepath.Join(b.work, "resume-relay")
	if _, err := b.program(ctx, "resume-stays", ort.Device{}, append(settings, "--out", stays, "--force")...); err != nil {
		return err
	}
	legs, err := b.legs()
	if err != nil {
		return err
	}
	for i, leg := range legs {
		args := append([]string{"train", "--out", relay, "--resume", "--threads", fmt.Sprint(b.threads)}, leg.flags...)
		if i == 0 {
			args = append(append(settings, "--out", relay, "--force"), leg.flags...)
		}
		if i < len(legs)-1 {
			args = append(args, "--time-limit", "1ms") // a single step
		}
		if _, err := b.program(ctx, fmt.Sprintf("resume-leg%d", i), leg.on, args...); err != nil {
			return fmt.Errorf("leg %d, %s: %w", i, leg.name, err)
		}
	}
	return b.compareRuns(stays, relay, legs)
}

// leg is a part of a run on one device.
type leg struct {
	name  string
	on    ort.Device
	flags []string
}

func (b *bench) legs() (legs []leg, err error) {
	fp32, err := b.in("fp32") // the default differs on a device
	if err != nil {
		return nil, err
	}
	here, there := leg{b.device.String(), b.device, fp32}, leg{"cpu", ort.Device{}, fp32}
	if b.onHost() {
		here = leg{"portable kernels", b.device, append([]string{"--kernels", "portable"}, fp32...)}
		there = leg{"kernels as usual", b.device, fp32}
	}
	return []leg{here, there, here, there, here}, nil
}

func (b *bench) compareRuns(stays, relay string, legs []leg) error {
	want, err := lossesOf(stays)
	if err != nil {
		return err
	}
	got, err := lossesOf(relay)
	if err != nil {
		return err
	}
	if len(want) != len(got) || len(want) < len(legs) {
		return fmt.Errorf("%d steps on the CPU, %d in %d legs", len(want), len(got), len(legs))
	}
	worst := 0.0
	for i := range want {
		name := legs[min(i, len(legs)-1)].name
		worst = max(worst, math.Abs(got[i]/want[i]-1))
		say("step %2d: on the CPU %.5f, on %s %.5f", i, want[i], name, got[i])
	}
	b.figures.Add("worst_1e6", 1e6*worst)
	b.verdict(worst <= parityBound, "a run that goes to the CPU and back has its losses within %.1e (at most %.0e)", worst, parityBound)
	return nil
}
