// Command serve measures vicreg serve: what it adds to a model that costs nothing,
// its throughput over that of the bare session and beside FastAPI, and what it does
// when it is overloaded, used for long, mistreated or stopped. This process makes the
// load; each server is a process of its own.
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

// bench is what the cases have in common.
type bench struct {
	quick    bool
	device   string // of the models: "cpu", "cuda" or "cuda:1"
	threads  int
	rounds   int
	turn     time.Duration
	minutes  float64
	server   string // vicreg
	turbo    string // vicreg with the tag turbojpeg, "" for none
	python   string // with the packages of the peer, "" for none
	work     string // folder for all that is written
	help     string // what vicreg serve says of itself
	pictures []picture
	made     map[string]string // files of models by name
	numbers  atomic.Uint64     // of the requests sent
	figures  peer.Figures
}

// slow is the case that runs with --quick only when it is asked for by name.
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

// all runs the cases, or one.
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

// serveHelp is the help of vicreg serve.
func serveHelp(program string) (string, error) {
	out, err := exec.Command(program, "serve", "--help").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s serve for its flags: %w", program, err)
	}
	return string(out), nil
}

// knows tells whether vicreg serve has a flag.
func (b *bench) knows(name string) bool { return strings.Contains(b.help, "--"+name+" ") }

// onHost tells whether the models run on the host's processors.
func (b *bench) onHost() bool { return b.device == "cpu" }

// logFile is where a server of a case may write.
func (b *bench) logFile(name string) string { return filepath.Join(b.work, name+".log") }

// say prints a figure for people.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// load is a load of messages on a server.
func (b *bench) load(c *child, messages []*message) *load {
	return &load{addr: c.addr, messages: messages, numbers: &b.numbers}
}

// measure lets clients send for a turn, which begins when there have been as many
// answers as there are clients: until then some had no queue before them. It fails
// when anything but a 200, or one of the statuses that may be, too, came back.
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
