package main

import (
	"context"
	"fmt"
	"strings"
)

// doctor shows the available hardware and measures the device's peak rates, against which the
// profiles of a step can be judged.
func doctor(ctx context.Context, b *bench) error {
	out, err := b.program(ctx, "doctor", b.device, "doctor")
	b.verdict(err == nil, "vicreg doctor finds nothing wrong on %v", b.device)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		fmt.Print("  " + line)
	}
	if b.python == "" {
		say("SKIPPED: the ceilings, which want PyTorch")
		return nil
	}
	args := []string{"--device", b.device.String()}
	if b.quick {
		args = append(args, "--quick")
	}
	ceilings, err := b.script(ctx, "ceilings_torch.py", args...).Output()
	if err != nil {
		return fmt.Errorf("measure the ceilings: %w", err)
	}
	fmt.Print(string(ceilings))
	return nil
}
