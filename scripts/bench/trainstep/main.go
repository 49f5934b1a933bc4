// Command trainstep compares a training step with the same step in PyTorch, each side in a separate
// process. On the CPU the sides take turns step by step, so that background load affects both
// alike, and a ratio is taken within each round. On a CUDA device, whose memory does not fit all,
// they run one after another.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// setup is a step on the CPU.
type setup struct {
	steps.Setup
	required bool // counts towards the ratio in the last line
}

func cpu(name, model, stem, expander string, width, size, batch int, required bool) setup {
	return setup{steps.Setup{Name: name, Model: model, Stem: stem, Expander: expander, Width: width, Size: size, Batch: batch}, required}
}

var setups = []setup{
	cpu("w64", "resnet18", "cifar", "2048-2048-2048", 64, 32, 128, true),
	cpu("w16", "resnet18", "cifar", "2048-2048-2048", 16, 32, 128, true),
	cpu("r50", "resnet50", "imagenet", "8192-8192-8192", 64, 224, 16, false),
}

// quick replaces the others when there is only a minute.
var quick = cpu("quick", "resnet18", "cifar", "512-512-512", 16, 32, 32, true)

// bench holds the command's settings.
type bench struct {
	quick                    bool
	only, kernels, precision string
	rounds, threads          int
	device                   ort.Device
}

func main() {
	ort.UseHugePages() // as vicreg train does, and as the peer is configured to
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "trainstep:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	b := &bench{}
	flag.BoolVar(&b.quick, "quick", false, "one small model, a few rounds")
	flag.StringVar(&b.only, "case", "", "w64, w16 or r50, on a CUDA device r50 or r18; by default all")
	flag.IntVar(&b.rounds, "rounds", 7, "measured steps of each side; on a CUDA device, half-seconds of steps")
	flag.IntVar(&b.threads, "threads", ort.Cores(), "threads of each side")
	flag.StringVar(&b.kernels, "kernels", "auto", "auto or portable, on the CPU")
	device := flag.String("device", "cpu", "cpu, cuda or cuda:1")
	flag.StringVar(&b.precision, "precision", "", "fp32, tf32, fp16 or bf16; by default fp32 on the CPU and fp16 on a CUDA device")
	serve := flag.String("serve", "", "run one side: a setup as JSON (used by the command itself)")
	flag.Parse()
	if *serve != "" {
		return steps.Serve(*serve, os.Stdin, os.Stdout)
	}
	if b.device, err = ort.ParseDevice(*device); err != nil {
		return err
	}
	if b.device.Kind != tensor.Host {
		return b.onDevice()
	}
	return b.onHost()
}

// onHost runs the sides in turns.
func (b *bench) onHost() error {
	todo := setups
	if b.quick {
		todo, b.rounds = []setup{quick}, 5
	}
	var line []string
	worst := steps.Ratios{}
	for _, s := range todo {
		if b.only != "" && s.Name != b.only {
			continue
		}
		s.Setup = s.On(b.device, "fp32", b.threads)
		s.Kernels = b.kernels
		fmt.Printf("\n%s: %v, %d threads\n", s.Name, s.Setup, b.threads)
		r, err := steps.InTurns([]steps.Side{steps.Ours("vicreg", s.Setup), torch(s.Setup, "channels_last"), torch(s.Setup, "contiguous")}, b.rounds, s.Batch)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		line = append(line, fmt.Sprintf("ratio_%s=%.3f mem_%s=%.3f", s.Name, r.Time, s.Name, r.Memory))
		if s.required || b.only != "" {
			worst = steps.Ratios{Time: max(worst.Time, r.Time), Memory: max(worst.Memory, r.Memory)}
		}
	}
	if line == nil {
		return fmt.Errorf("no case %q", b.only)
	}
	fmt.Printf("bench train-step ratio=%.3f mem_ratio=%.3f %s\n", worst.Time, worst.Memory, strings.Join(line, " "))
	return nil
}

func torch(s steps.Setup, layout string) steps.Side {
	return steps.Torch("PyTorch "+layout, steps.Python(), s, layout)
}

// onDevice runs the sides one after another.
func (b *bench) onDevice() error {
	if b.precision == "" {
		b.precision = "fp16"
	}
	var figures peer.Figures
	ran := false
	for _, s := range []steps.Setup{steps.R18, steps.R50} {
		if b.only != "" && s.Name != b.only {
			continue
		}
		if ran = true; b.quick {
			s = s.Small()
		}
		s = s.On(b.device, b.precision, b.threads)
		fmt.Printf("\n%s: %v\n", s.Name, s)
		a := &steps.Alone{Device: b.device, Rounds: b.rounds, Round: 500 * time.Millisecond, Batch: s.Batch}
		if err := a.Compare(s, steps.Python()); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		a.Figures(&figures, s.Name+"_")
	}
	if !ran {
		return fmt.Errorf("no case %q on %v", b.only, b.device)
	}
	fmt.Printf("bench train-step device=%v precision=%s%s\n", b.device, b.precision, figures.Line())
	return nil
}
