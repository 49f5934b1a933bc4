// Command index compares the similarity index with faiss and raw SQLite: searches, filters, writes,
// bulk indexing, memory, near duplicates, and what survives a kill. The sides are separate
// processes that take turns. scripts/bench/index.sh runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"vicreg/models/ort"
	"vicreg/scripts/bench/peer"
)

// bench is the state shared by the cases.
type bench struct {
	quick   bool
	rounds  int
	turn    time.Duration
	kills   int
	large   int    // vectors of the large set
	real    int    // vectors from real images; the rest are mixtures of them
	vicreg  string // the program's path
	tests   string // folder with the compiled tests index.test and vicreg.test
	python  string // with NumPy, "" for none
	faiss   bool   // python has faiss, too
	work    string // folder for all output
	images  string // folder whose images, and views of them, are indexed
	held    string // folder whose images are the queries
	photos  string // folder of photographs, "" for none
	vectors *embedded
	made    map[int]string // this run's indexes by size
	figures peer.Figures
}

func cases() []peer.Case[*bench] {
	return []peer.Case[*bench]{
		{Name: "vectors", Run: prepare},
		{Name: "search", Run: search},
		{Name: "filter", Run: filters},
		{Name: "ingest", Run: ingest},
		{Name: "bulk", Run: bulk},
		{Name: "memory", Run: memory},
		{Name: "duplicates", Run: duplicates},
		{Name: "kill", Run: kill},
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "index:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{made: map[int]string{}}
	flag.BoolVar(&b.quick, "quick", false, "less than a minute: it runs, but its figures say little")
	flag.IntVar(&b.rounds, "rounds", 7, "turns of each side")
	flag.DurationVar(&b.turn, "turn", 2*time.Second, "length of a turn")
	flag.IntVar(&b.kills, "kills", 200, "how often the process is killed")
	flag.IntVar(&b.real, "real", 200_000, "vectors that are embedded at the most; those beyond are mixtures of two")
	flag.IntVar(&b.large, "large", 1_000_000, "vectors of the large set, 0 to leave it out")
	flag.StringVar(&b.vicreg, "vicreg", "", "vicreg, the program")
	flag.StringVar(&b.tests, "tests", "", "folder with index.test and vicreg.test, the compiled tests of server/index and of the program")
	flag.StringVar(&b.python, "python", "", "a Python with NumPy, if any")
	flag.BoolVar(&b.faiss, "faiss", false, "that Python has faiss")
	flag.StringVar(&b.work, "work", "build/index", "folder for vectors, indexes and logs")
	flag.StringVar(&b.images, "images", "", "folder of the images in the index")
	flag.StringVar(&b.held, "held", "", "folder of the images that are searched for")
	flag.StringVar(&b.photos, "photos", "", "folder of photographs, if there is one")
	model := flag.String("model", "", "exported model; without it, one whose weights are drawn")
	only := flag.String("case", "all", "run this case alone")
	role := flag.String("role", "", "be a side of a comparison, described in JSON (used by the command itself)")
	flag.Parse()
	if *role != "" {
		return play(*role)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.quick {
		b.rounds, b.turn, b.kills, b.large = 3, 100*time.Millisecond, 1, 0
	}
	if err := os.MkdirAll(b.work, 0o777); err != nil {
		return err
	}
	var err error
	if b.vectors, err = openVectors(b.work, *model); err != nil {
		return err
	}
	return b.all(ctx, *only)
}

// all runs all cases, or only one.
func (b *bench) all(ctx context.Context, only string) error {
	chosen := slices.DeleteFunc(cases(), func(c peer.Case[*bench]) bool { return only != "all" && only != c.Name })
	if len(chosen) == 0 {
		return fmt.Errorf("no case %q", only)
	}
	return peer.RunCases(ctx, b, chosen, func() string {
		return fmt.Sprintf("bench index ratio=%s%s", b.figures.Least("single_ratio"), b.figures.Line())
	})
}

// say prints a human-readable line.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// small is the size of the set that most cases use.
func (b *bench) small() int {
	if b.quick {
		return 20_000
	}
	return 100_000
}

// sizes returns the sizes of the sets that are searched.
func (b *bench) sizes() []int {
	if b.large == 0 {
		return []int{b.small()}
	}
	return []int{b.small(), b.large}
}

// suffix distinguishes the figures of the large set from those of the small one.
func (b *bench) suffix(n int) string {
	if n == b.small() {
		return ""
	}
	return "_large"
}

// openRuntime loads ONNX Runtime.
func openRuntime() (*ort.Runtime, error) {
	path, err := ort.Find("")
	if err != nil {
		return nil, err
	}
	return ort.Open(path)
}
