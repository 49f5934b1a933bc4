package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// serve runs the server benchmark with one network; the figures are in its last line.
func serve(ctx context.Context, b *bench) error {
	photos := filepath.Join(b.data, "photos")
	if _, err := os.Stat(photos); b.data == "" || err != nil {
		return fmt.Errorf("%w: no photos in the data folder %q", errSkipped, b.data)
	}
	if b.serve == "" {
		return fmt.Errorf("%w: the benchmark of the server is not there", errSkipped)
	}
	name := "resnet50"
	args := []string{"-rounds", "2", "-turn", "3s"}
	if b.quick {
		name, args = "resnet18", []string{"-quick"}
	}
	args = append(args, "-case", name, "-device", b.device.String(), "-server", b.vicreg, "-photos", photos, "-work", b.work, "-threads", fmt.Sprint(b.threads))
	cmd := exec.CommandContext(ctx, b.serve, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Println(strings.TrimRight(lines.Text(), "\n"))
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the benchmark of the server: %w", err)
	}
	b.verdict(true, "the server answers on %v, and nothing else than right", b.device)
	return nil
}
