// Command serve measures vicreg serve: its overhead around a model that costs nothing, its
// throughput relative to the bare session and to FastAPI, and its behaviour under overload, in long
// use, with misbehaving clients and when stopped. This process generates the load; each server is a
// separate process.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"vicreg/models/ort"
	"vicreg/scripts/bench/peer"
)

// bench is the state shared by the cases.
type bench struct {
	quick    bool
	device   string // to run the models on: "cpu", "cuda" or "cuda:1"
	threads  int
	rounds   int
	turn     time.Duration
	minutes  float64
	server   string // path of vicreg
	turbo    string // vicreg with the tag turbojpeg, "" for none
	python   string // with the packages of the peer, "" for none
	work     string // folder for all output
	help     string // help text of vicreg serve
	pictures []picture
	made     map[string]string // model files by name
	numbers  atomic.Uint64     // of the requests sent
	figures  peer.Figures
}

// slow is the case that --quick runs only if it is named.
const slow = "resnet50"

func cases() []peer.Case[*bench] {
	return []peer.Case[*bench]{
		{Name: "overhead", Run: overhead},
		{Name: "resnet18", Run: func(ctx context.Context, b *bench) error { return throughput(ctx, b, "resnet18") }},
		{Name: "resnet50", Run: func(ctx context.Context, b *bench) error { return throughput(ctx, b, "resnet50") }},
		{Name: "fastapi", Run: fastapi},
		{Name: "overload", Run: overload},
		{Name: "soak", Run: soak},
		{Name: "faults", Run: faults},
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{made: map[string]string{}}
	flag.BoolVar(&b.quick, "quick", false, "less than a minute: it runs, but its figures say little")
	flag.StringVar(&b.device, "device", "cpu", "what the models run on: cpu, cuda or cuda:1")
	flag.IntVar(&b.threads, "threads", ort.Cores(), "threads of each server's runtime")
	flag.IntVar(&b.rounds, "rounds", 7, "turns of each side")
	flag.DurationVar(&b.turn, "turn", 5*time.Second, "length of a turn")
	flag.Float64Var(&b.minutes, "minutes", 30, "length of the soak")
	flag.StringVar(&b.server, "server", "", "vicreg, the program")
	flag.StringVar(&b.turbo, "turbo", "", "vicreg built with the tag turbojpeg, if any")
	flag.StringVar(&b.python, "python", "", "a Python with the packages of the peer, if any")
	flag.StringVar(&b.work, "work", "build/serve", "folder for models and logs")
	only := flag.String("case", "", "run this case alone")
	photos := flag.String("photos", "", "folder of photographs")
	bare := flag.String("bare", "", "be the bare session of a model (used by the command itself)")
	flag.Parse()
	if *bare != "" {
		return bareSession(*bare, b.device, b.threads)
	}
	if b.quick {
		b.rounds, b.turn, b.minutes = 1, 700*time.Millisecond, 0.06
	}
	var err error
	if b.pictures, err = readPictures(*photos); err != nil {
		return err
	}
	if b.help, err = serveHelp(b.server); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return b.all(ctx, *only)
}

// all runs all cases, or only one.
func (b *bench) all(ctx context.Context, only string) error {
	chosen := slices.DeleteFunc(cases(), func(c peer.Case[*bench]) bool {
		return only != "" && only != c.Name || only == "" && c.Name == slow && b.quick
	})
	if len(chosen) == 0 {
		return fmt.Errorf("no case %q", only)
	}
	return peer.RunCases(ctx, b, chosen, func() string {
		return fmt.Sprintf("bench serve ratio=%s%s", b.figures.Least("resnet18_ratio", "resnet50_ratio"), b.figures.Line())
	})
}

// serveHelp returns the help text of vicreg serve.
func serveHelp(program string) (string, error) {
	out, err := exec.Command(program, "serve", "--help").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s serve for its flags: %w", program, err)
	}
	return string(out), nil
}

// knows reports whether vicreg serve has a flag.
func (b *bench) knows(name string) bool { return strings.Contains(b.help, "--"+name+" ") }

// onHost reports whether the models run on the CPU.
func (b *bench) onHost() bool { return b.device == "cpu" }

// logFile returns the path of a server's log.
func (b *bench) logFile(name string) string { return filepath.Join(b.work, name+".log") }

// say prints a human-readable line.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// load returns a load of messages on a server.
func (b *bench) load(c *child, messages []*message) *load {
	return &load{addr: c.addr, messages: messages, numbers: &b.numbers}
}

// measure has clients send for a turn, which begins once there have been as many answers as
// clients: until then some had no queue ahead of them. It fails if anything but a 200, or a status
// in too, is returned.
func (b *bench) measure(ctx context.Context, l *load, clients int, too ...int) (summary, error) {
	limited, enough := context.WithCancel(ctx)
	defer enough()
	done := make(chan *outcome, 1)
	before, begin := l.answers.Load(), time.Now()
	go func() { done <- l.closed(limited, clients) }()
	for time.Since(begin) < b.turn/5 || l.answers.Load() < before+int64(clients) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	from := time.Since(begin)
	time.Sleep(b.turn)
	to := time.Since(begin)
	enough()
	o := <-done
	_, err := o.bad(append(too, 200)...)
	return o.summarise(from, to), err
}
