package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// kill runs the tests that repeatedly kill processes while they write, delete and search, and those
// on system calls and on a full disk.
func kill(ctx context.Context, b *bench) error {
	return errors.Join(
		b.test(ctx, "index.test", "TestKill|TestSyncBeforeAcknowledged"),
		b.test(ctx, "vicreg.test", "TestKillServer|TestFullDisk"))
}

// test runs the tests matching a pattern, and prints and records the counts that they report.
func (b *bench) test(ctx context.Context, program, pattern string) error {
	c := exec.CommandContext(ctx, filepath.Join(b.tests, program), "-test.run=^("+pattern+")$", "-test.v", "-test.timeout=90m")
	c.Env = append(os.Environ(), fmt.Sprint("VICREG_KILLS=", b.kills))
	out, err := c.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		counts := strings.Contains(line, "acknowledged=")
		if line = strings.TrimSpace(line); counts || strings.HasPrefix(line, "---") || strings.Contains(line, "skip") {
			say("%s", line)
		}
		for pair := range strings.FieldsSeq(line) {
			key, value, _ := strings.Cut(pair, "=")
			if n, err := strconv.ParseFloat(value, 64); err == nil && counts {
				b.figures.Add("kill_"+key, n)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}
