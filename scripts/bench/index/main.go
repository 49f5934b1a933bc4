// Command index measures the similarity index beside faiss and raw SQLite: searches,
// filters, writes, bulk indexing, memory, near duplicates, and what a kill leaves. The
// sides are processes of their own that take turns. scripts/bench/index.sh runs it.
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

// bench is what the cases have in common.
type bench struct {
	quick   bool
	rounds  int
	turn    time.Duration
	kills   int
	large   int    // vectors of the large set
	real    int    // vectors that are embedded; those beyond are mixtures
	vicreg  string // the program
	tests   string // folder with index.test and vicreg.test, tests that are compiled
	python  string // with NumPy, "" for none
	faiss   bool   // python has faiss, too
	work    string // folder for all that is written
	images  string // folder whose images, and views of them, are in the index
	held    string // folder whose images are searched for
	photos  string // folder of photographs, "" for none
	vectors *embedded
	made    map[int]string // the indexes of this run by their sizes
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

// all runs the cases, or one.
func (b *bench) all(ctx context.Context, only string) error {
	chosen := slices.DeleteFunc(cases(), func(c peer.Case[*bench]) bool { return only != "all" && only != c.Name })
	if len(chosen) == 0 {
		return fmt.Errorf("no case %q", only)
	}
	return peer.RunCases(ctx, b, chosen, func() string {
		return fmt.Sprintf("bench index ratio=%s%s", b.figures.Least("single_ratio"), b.figures.Line())
	})
}

// say prints a figure for people.
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// small is the size of the set that most cases use.
func (b *bench) small() int {
	if b.quick {
		return 20_000
	}
	return 100_000
}

// sizes are those of the sets that are searched.
func (b *bench) sizes() []int {
	if b.large == 0 {
		return []int{b.small()}
	}
	return []int{b.small(), b.large}
}

// suffix tells the figures of a large set from those of the small one.
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
