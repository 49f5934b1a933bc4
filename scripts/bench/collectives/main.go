// Command collectives compares a training step by several processes on this machine, joined over
// MPI, with the same step of the same batch by one process on the same total number of threads, and
// compares that with PyTorch, whose DistributedDataParallel joins processes over gloo. The sides
// take turns step by step, so that background load affects all of them alike, and ratios are taken
// within each round.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"

	"vicreg/models/ort"
	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

var setups = []steps.Setup{
	{Name: "r18", Model: "resnet18", Stem: "cifar", Expander: "2048-2048-2048", Width: 64, Size: 32, Batch: 128},
	{Name: "w16", Model: "resnet18", Stem: "cifar", Expander: "2048-2048-2048", Width: 16, Size: 32, Batch: 128},
}

// quick replaces the others when there is only a minute.
var quick = steps.Setup{Name: "quick", Model: "resnet18", Stem: "cifar", Expander: "512-512-512", Width: 16, Size: 32, Batch: 64}

// bench holds the command's settings.
type bench struct {
	quick, sync       bool
	only, bridge      string
	rounds, processes int
	threads           int
	python            string // "" if there is no PyTorch to compare with
	figures           peer.Figures
}

func main() {
	ort.UseHugePages() // as vicreg train does, and as the peer is configured to
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "collectives:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{}
	flag.BoolVar(&b.quick, "quick", false, "one small model, a few rounds")
	flag.StringVar(&b.only, "case", "", "r18 or w16; by default both")
	flag.IntVar(&b.rounds, "rounds", 7, "measured steps of each side")
	flag.IntVar(&b.processes, "processes", 2, "how many share the batch and the threads")
	flag.IntVar(&b.threads, "threads", ort.Cores(), "threads of one process, which several share")
	flag.BoolVar(&b.sync, "sync-batchnorm", true, "the processes share the statistics of BatchNorm, as in vicreg train; PyTorch's do not")
	flag.StringVar(&b.bridge, "bridge", "", "the library that joins processes over MPI")
	flag.StringVar(&b.python, "python", "", "a Python whose PyTorch has gloo; none without")
	serve := flag.String("serve", "", "run one side: a setup as JSON (used by the command itself)")
	flag.Parse()
	if *serve != "" {
		return steps.Serve(*serve, os.Stdin, os.Stdout)
	}
	todo := setups
	if b.quick {
		todo, b.rounds = []steps.Setup{quick}, 5
	}
	ran := false
	for _, s := range todo {
		if b.only != "" && s.Name != b.only {
			continue
		}
		ran = true
		if err := b.compare(s.On(ort.Device{}, "fp32", b.threads)); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if !ran {
		return fmt.Errorf("no case %q", b.only)
	}
	fmt.Printf("bench collectives processes=%d%s\n", b.processes, b.figures.Line())
	return nil
}

// compare runs the sides of a step in turns and adds their results to the last line.
func (b *bench) compare(s steps.Setup) error {
	fmt.Printf("\n%s: %v; %d threads, or %d processes with %d each\n", s.Name, s, s.Threads, b.processes, max(s.Threads/b.processes, 1))
	s.SyncNorm = b.sync
	sides := []steps.Side{steps.Ours("vicreg", s), steps.Together("vicreg together", s, b.processes, b.bridge)}
	if b.python != "" {
		sides = append(sides, steps.Torch("PyTorch", b.python, s, "channels_last"),
			steps.TorchTogether("PyTorch DDP", b.python, s, b.processes, "channels_last"))
	}
	all, err := take(sides, b.rounds)
	if err != nil {
		return err
	}
	for i, side := range sides {
		ms := all.of(i, func(a answer) float64 { return a.Ms })
		fmt.Printf("  %-16s median %7.0f ms (%.0f to %.0f)  %6.1f images/s\n", side.Name, peer.Median(ms), slices.Min(ms), slices.Max(ms), 1000*float64(s.Batch)/peer.Median(ms))
	}
	b.report(s, all)
	return nil
}

// report prints the results of the rounds and adds them to the figures.
func (b *bench) report(s steps.Setup, all rounds) {
	add := func(key string, v float64) { b.figures.Add(key+"_"+s.Name, v) }
	ours := all.ratio(alone, together)
	add("efficiency", peer.Median(ours))
	add("images_s", 1000*float64(s.Batch)/peer.Median(all.of(together, func(a answer) float64 { return a.Ms })))
	share := peer.Median(all.of(together, func(a answer) float64 { return a.ExchangeMs / a.Ms }))
	least := peer.Median(all.of(together, func(a answer) float64 { return a.LeastExchangeMs / a.Ms }))
	count, bytes := all[0][together].Exchanges, all[0][together].ExchangedBytes
	fmt.Printf("  together %.3f of the speed alone (%.3f to %.3f); %.0f collectives of %.1f MB a step, %.1f %% of its time, %.1f %% without waiting\n",
		peer.Median(ours), slices.Min(ours), slices.Max(ours), count, bytes/1e6, 100*share, 100*least)
	add("share", share)
	add("least_share", least)
	add("collectives", count)
	add("mb", bytes/1e6)
	if len(all[0]) <= ddp {
		return
	}
	theirs := all.ratio(torch, ddp)
	fmt.Printf("  PyTorch DDP %.3f of the speed of PyTorch alone (%.3f to %.3f)\n", peer.Median(theirs), slices.Min(theirs), slices.Max(theirs))
	add("efficiency_ddp", peer.Median(theirs))
	add("time_over_ddp", peer.Median(all.ratio(together, ddp)))
}
