package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"vicreg/scripts/bench/steps"
)

// TestMain lets the test binary serve as our side of a step, like the command.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		if err := steps.Serve(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The pieces that need neither data nor programs run on the CPU, without PyTorch.
func TestPieces(t *testing.T) {
	for _, p := range pieces() {
		switch p.Name {
		case "gradients", "moved", "step-r18", "profile-r18", "kernels-r18", "precisions-r18", "sums-r18":
		default:
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			b := &bench{piece: p.Name, quick: true, budget: time.Hour, begin: time.Now(), threads: 2, work: t.TempDir()}
			if err := p.Run(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if b.failed > 0 || b.figures.Line() == "" {
				t.Errorf("%d verdicts failed; figures%s", b.failed, b.figures.Line())
			}
			if left, _ := os.ReadDir(b.work); len(left) > 0 {
				t.Errorf("%v is left in the working folder", left)
			}
		})
	}
}
