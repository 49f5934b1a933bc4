package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// knows reports whether a vicreg command has a flag.
func (b *bench) knows(command, name string) (bool, error) {
	if _, asked := b.help[command]; !asked {
		out, err := exec.Command(b.vicreg, command, "--help").Output()
		if err != nil {
			return false, fmt.Errorf("ask %s %s for its flags: %w", b.vicreg, command, err)
		}
		b.help[command] = string(out)
	}
	return strings.Contains(b.help[command], "--"+name+" "), nil
}

// on returns the flags that run a command on a device; none if the command has no such flag and the
// device is the host.
func (b *bench) on(command string, d ort.Device) ([]string, error) {
	ok, err := b.knows(command, "device")
	if err != nil || !ok && d.Kind == tensor.Host {
		return nil, err
	}
	return []string{"--device", d.String()}, nil
}

// in returns the flags that select a precision of vicreg train.
func (b *bench) in(precision string) ([]string, error) {
	ok, err := b.knows("train", "precision")
	if err != nil || !ok && precision == "fp32" {
		return nil, err
	}
	return []string{"--precision", precision}, nil
}

// program runs vicreg on a device and returns its standard output. All output is logged to a file
// in the work folder; standard error is also part of a returned error.
func (b *bench) program(ctx context.Context, name string, d ort.Device, args ...string) (string, error) {
	on, err := b.on(args[0], d)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, b.vicreg, append(args, on...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	log := fmt.Sprintf("%v\n%s%s", cmd.Args, out.String(), problems.String())
	if writeErr := os.WriteFile(filepath.Join(b.work, name+".log"), []byte(log), 0o666); writeErr != nil {
		return "", writeErr
	}
	if err != nil {
		return "", fmt.Errorf("vicreg %s: %w: %s", args[0], err, lastLine(problems.String()))
	}
	return out.String(), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// script returns the command of one of the benchmarks' Python programs.
func (b *bench) script(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.python, append([]string{filepath.Join("scripts", "bench", name)}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}
