// Command trainstep compares a training step with the same step in PyTorch. Each
// side runs in a process of its own, and the steps take turns, so that whatever
// else the machine does falls on both; a ratio is taken within each round.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"vicreg/models/ort"
	"vicreg/scripts/bench/peer"
)

// setup is one model at one size, in the words of train_step_torch.py's flags.
type setup struct {
	name, model, stem, expander string
	width, size, batch          int
	required                    bool // counts for the ratio of the last line
}

var setups = []setup{
	{"w64", "resnet18", "cifar", "2048-2048-2048", 64, 32, 128, true},
	{"w16", "resnet18", "cifar", "2048-2048-2048", 16, 32, 128, true},
	{"r50", "resnet50", "imagenet", "8192-8192-8192", 64, 224, 16, false},
}

// quick stands for the others where a minute is all there is.
var quick = setup{"quick", "resnet18", "cifar", "512-512-512", 16, 32, 32, true}

func main() {
	ort.UseHugePages() // as vicreg train does, and as the peer is told to
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "trainstep:", err)
		os.Exit(1)
	}
}

func run() error {
	isQuick := flag.Bool("quick", false, "one small model, a few rounds")
	only := flag.String("case", "", "w64, w16 or r50; by default all")
	rounds := flag.Int("rounds", 7, "measured steps of each side")
	threads := flag.Int("threads", ort.Cores(), "threads of each side")
	kernels := flag.String("kernels", "auto", "auto or portable")
	serve := flag.String("serve", "", "run one side: a setup as JSON (used by the command itself)")
	flag.Parse()
	if *serve != "" {
		return serveSteps(*serve, *threads, *kernels)
	}
	todo := setups
	if *isQuick {
		todo, *rounds = []setup{quick}, 5
	}
	var line []string
	worst, worstMemory := 0.0, 0.0
	for _, s := range todo {
		if *only != "" && s.name != *only {
			continue
		}
		r, err := compare(s, *rounds, *threads, *kernels)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		line = append(line, fmt.Sprintf("ratio_%s=%.3f mem_%s=%.3f", s.name, r.time, s.name, r.memory))
		if s.required || *only != "" {
			worst, worstMemory = max(worst, r.time), max(worstMemory, r.memory)
		}
	}
	if line == nil {
		return fmt.Errorf("no case %q", *only)
	}
	fmt.Printf("bench train-step ratio=%.3f mem_ratio=%.3f %s\n", worst, worstMemory, strings.Join(line, " "))
	return nil
}

// ratios are ours over the best PyTorch layout's.
type ratios struct{ time, memory float64 }

func compare(s setup, rounds, threads int, kernels string) (ratios, error) {
	sides, err := startAll(s, threads, kernels)
	defer func() {
		for _, p := range sides {
			p.Stop()
		}
	}()
	if err != nil {
		return ratios{}, err
	}
	fmt.Printf("\n%s: %s, %s stem, width %d, %d px, %d images a view, expander %s, %d threads\n",
		s.name, s.model, s.stem, s.width, s.size, s.batch, s.expander, threads)
	times := make([][]float64, len(sides))
	for round := range rounds + 1 {
		for i, p := range sides {
			var answer struct{ Ms, Loss float64 }
			if err := p.Ask("step", &answer); err != nil {
				return ratios{}, err
			}
			if round > 0 { // the first is warm-up
				times[i] = append(times[i], answer.Ms)
			}
		}
	}
	return report(sides, times, s.batch)
}

// report prints a line a side. The ratio is the median over the rounds of ours
// against the PyTorch layout whose median is the least.
func report(sides []*peer.Process, times [][]float64, batch int) (ratios, error) {
	bytes := make([]float64, len(sides))
	best := 1
	for i, p := range sides {
		var answer struct{ Bytes float64 }
		if err := p.Ask("mem", &answer); err != nil {
			return ratios{}, err
		}
		bytes[i] = answer.Bytes
		fmt.Printf("  %-22s median %7.0f ms  min %7.0f ms  %6.1f images/s  peak %5.0f MB\n",
			p.Name, peer.Median(times[i]), slices.Min(times[i]), 1000*float64(batch)/peer.Median(times[i]), answer.Bytes/1e6)
		if i > 0 && peer.Median(times[i]) < peer.Median(times[best]) {
			best = i
		}
	}
	var paired []float64
	for round, ms := range times[0] {
		paired = append(paired, ms/times[best][round])
	}
	r := ratios{peer.Median(paired), bytes[0] / slices.Min(bytes[1:])}
	fmt.Printf("  ratio %.3f (%.3f to %.3f over the rounds, %.3f of the minima), memory %.3f\n",
		r.time, slices.Min(paired), slices.Max(paired), slices.Min(times[0])/slices.Min(times[best]), r.memory)
	return r, nil
}

func startAll(s setup, threads int, kernels string) (sides []*peer.Process, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	asJSON, err := json.Marshal(map[string]any{"name": s.name, "model": s.model, "stem": s.stem, "expander": s.expander,
		"width": s.width, "size": s.size, "batch": s.batch})
	if err != nil {
		return nil, err
	}
	ours, err := peer.Start("vicreg", nil, self, "-serve", string(asJSON), "-threads", fmt.Sprint(threads), "-kernels", kernels)
	if err != nil {
		return nil, err
	}
	sides = append(sides, ours)
	python := cmp.Or(os.Getenv("VICREG_TORCH_PYTHON"), "python3")
	for _, layout := range []string{"channels_last", "contiguous"} {
		p, err := peer.Start("PyTorch "+layout, nil, python, "scripts/bench/train_step_torch.py", "--model", s.model, "--stem", s.stem,
			"--width", fmt.Sprint(s.width), "--image-size", fmt.Sprint(s.size), "--batch", fmt.Sprint(s.batch),
			"--expander", s.expander, "--threads", fmt.Sprint(threads), "--layout", layout)
		if err != nil {
			return sides, err
		}
		sides = append(sides, p)
	}
	return sides, nil
}
