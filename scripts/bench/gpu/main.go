// Command gpu checks and measures what runs on a CUDA device, one piece at a time, for
// scripts/gpu.sh. With -device cpu -quick the logic of each piece runs on a machine without a
// device.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/peer"
	"vicreg/scripts/bench/steps"
)

// grace is the time that a cancelled piece gets to end.
const grace = 5 * time.Second

// bench is the state shared by the pieces.
type bench struct {
	piece   string
	device  ort.Device
	quick   bool
	budget  time.Duration
	begin   time.Time
	threads int
	epochs  int    // of learn
	key     string // identifies programs and settings in the names of files that persist between runs
	work    string // folder for all output
	data    string // folder with cifar/train, cifar/test and photos; "" for none
	vicreg  string // the program's path
	serve   string // path of the server benchmark
	python  string // with PyTorch, "" for none
	help    map[string]string
	figures peer.Figures
	failed  int // failed verdicts
}

// piece is a part that can be run on its own.
type piece struct {
	peer.Case[*bench]
	budget time.Duration // time that should suffice on a device
	about  string
}

func pieces() []piece {
	of := func(name string, run func(context.Context, *bench) error, seconds int, about string) piece {
		return piece{peer.Case[*bench]{Name: name, Run: run}, time.Duration(seconds) * time.Second, about}
	}
	with := func(run func(context.Context, *bench, steps.Setup) error, s steps.Setup) func(context.Context, *bench) error {
		return func(ctx context.Context, b *bench) error { return run(ctx, b, s) }
	}
	return []piece{
		of("doctor", doctor, 40, "what is there, and how fast memory and products are at best"),
		of("parity", parity, 90, "20 steps on the device and on the CPU, from the same weights and batches"),
		of("gradients", gradients, 60, "each gradient of a step at the size of a real run, on the device and on the CPU"),
		of("moved", moved, 70, "bytes that a step moves, and nodes that run elsewhere than on the device"),
		of("step-r18", with(compareStep, steps.R18), 120, "ResNet-18, CIFAR stem: images a second and memory beside PyTorch's"),
		of("step-r50", with(compareStep, steps.R50), 225, "ResNet-50, 224 px: the same"),
		of("profile-r50", with(profile, steps.R50), 90, "what takes the time of that step, ours and PyTorch's"),
		of("profile-r18", with(profile, steps.R18), 40, "the same for ResNet-18"),
		of("kernels-r18", with(kernels, steps.R18), 50, "whole steps of ResNet-18 with vicreg's own operators and with portable kernels"),
		of("kernels-r50", with(kernels, steps.R50), 90, "the same of ResNet-50"),
		of("precisions-r18", with(precisions, steps.R18), 70, "steps of ResNet-18 in each precision, the views together and apart"),
		of("precisions-r50", with(precisions, steps.R50), 130, "the same of ResNet-50"),
		of("sums-r18", with(sums, steps.R18), 40, "steps of ResNet-18 whose convolutions take the statistics of what they write, and that read it again"),
		of("sums-r50", with(sums, steps.R50), 60, "the same of ResNet-50"),
		of("curve", curve, 100, "500 steps on CIFAR-10 in fp16 and in fp32"),
		of("learn", learn, 180, "kNN accuracy after equal epochs on CIFAR-10, ours and PyTorch's"),
		of("resume", resume, 60, "runs that go from device to CPU and back"),
		of("serve", serve, 110, "the server's images a second and latency beside the bare session"),
	}
}

func main() {
	ort.UseHugePages()
	switch err := run(); {
	case errors.Is(err, errSkipped):
		fmt.Println(err)
		os.Exit(3)
	case errors.Is(err, errUnfinished):
		fmt.Println(err)
		os.Exit(4)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gpu:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	b := &bench{help: map[string]string{}, begin: time.Now()}
	flag.StringVar(&b.piece, "piece", "", "what to run")
	list := flag.Bool("list", false, "list the pieces with their seconds")
	device := flag.String("device", "cuda", "cpu, cuda or cuda:1")
	flag.BoolVar(&b.quick, "quick", false, "small sizes: it runs, but its figures say nothing")
	flag.DurationVar(&b.budget, "budget", 0, "time for the piece; by default its own")
	flag.IntVar(&b.threads, "threads", ort.Cores(), "threads of what runs on the CPU")
	flag.IntVar(&b.epochs, "epochs", 20, "epochs of learn")
	flag.StringVar(&b.key, "key", "any", "names what goes on from run to run")
	flag.StringVar(&b.work, "work", "build/gpu/work", "folder for all that is written")
	flag.StringVar(&b.data, "data", "", "folder with cifar and photos, if any")
	flag.StringVar(&b.vicreg, "vicreg", "", "vicreg, the program")
	flag.StringVar(&b.serve, "server", "", "the benchmark of the server")
	flag.StringVar(&b.python, "python", "", "a Python with PyTorch, if any")
	step := flag.String("serve", "", "run our side of a step: a setup as JSON (used by the command itself)")
	flag.Parse()
	switch {
	case *step != "":
		return steps.Serve(*step, os.Stdin, os.Stdout)
	case *list:
		for _, p := range pieces() {
			fmt.Printf("%-14s %4.0f  %s\n", p.Name, p.budget.Seconds(), p.about)
		}
		return nil
	}
	if b.device, err = ort.ParseDevice(*device); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A step in progress ignores contexts: it ends with the process.
	context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { os.Exit(1) }) })
	return b.run(ctx)
}

// run runs the piece. A FAIL verdict is a result, not an error.
func (b *bench) run(ctx context.Context) error {
	all := pieces()
	at := slices.IndexFunc(all, func(p piece) bool { return p.Name == b.piece })
	if at < 0 {
		return fmt.Errorf("no piece %q; -list lists them", b.piece)
	}
	b.budget = cmp.Or(b.budget, all[at].budget)
	if err := os.MkdirAll(b.work, 0o777); err != nil {
		return err
	}
	err := all[at].Run(ctx, b)
	fmt.Printf("bench gpu-%s device=%v quick=%d failed=%d seconds=%.0f%s\n", b.piece, b.device, flagged(b.quick), b.failed, time.Since(b.begin).Seconds(), b.figures.Line())
	return err
}

func flagged(on bool) int {
	if on {
		return 1
	}
	return 0
}

// verdict prints whether a requirement is met.
func (b *bench) verdict(ok bool, format string, args ...any) {
	word := "PASS"
	if !ok {
		word = "FAIL"
		b.failed++
	}
	fmt.Printf("verdict %s %s: %s\n", b.piece, word, fmt.Sprintf(format, args...))
}

// fast is a verdict on speed or memory, for which small sizes and a CPU are no evidence.
func (b *bench) fast(ok bool, format string, args ...any) {
	if b.quick || b.onHost() {
		fmt.Printf("  no verdict: %s\n", fmt.Sprintf(format, args...))
		return
	}
	b.verdict(ok, format, args...)
}

func (b *bench) onHost() bool { return b.device.Kind == tensor.Host }

// precision returns the given precision on a device; a CPU only supports float32.
func (b *bench) precision(onDevice string) string {
	if b.onHost() {
		return "fp32"
	}
	return onDevice
}

// left returns the remaining time of the piece.
func (b *bench) left() time.Duration { return max(b.budget-time.Since(b.begin), 0) }

// errSkipped marks a piece whose prerequisites this machine lacks.
var errSkipped = errors.New("SKIPPED")

// say prints a human-readable line.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
