package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/linear"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
)

// Eval measures an exported backbone on images: vicreg eval.
func Eval(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	e := &evaluation{stderr: stderr}
	fs := e.flags(stdout)
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	if err := e.machine.Validate(); err != nil {
		return err
	}
	if err := errors.Join(usage.Require(fs, "model", "data"), e.foreign.Validate(), e.files.Validate()); err != nil {
		return err
	}
	if err := e.load(ctx); err != nil {
		return err
	}
	figures, err := e.measure(ctx)
	if err != nil {
		return err
	}
	if !e.asJSON {
		return figures.print(stdout)
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n", text)
	return err
}

// flags returns the command's flags; the help is written to out.
func (e *evaluation) flags(out io.Writer) *flag.FlagSet {
	fs := usage.Flags(out, usage.Text{
		Name:     "eval",
		Purpose:  "Evaluate how well the vectors of an exported model tell images apart, compared with raw pixels and chance.",
		Synopsis: "--model FILE --data DIR [flags]",
		Examples: []string{
			"vicreg eval --model backbone.onnx --data test --reference train",
			"vicreg eval --model backbone.onnx --data photos --json",
		},
		Notes: evalNotes(),
	})
	fs.StringVar(&e.model, "model", "", "exported model `FILE` to evaluate")
	fs.StringVar(&e.data, "data", "", "`DIR` with the images, in one folder per class if they have classes; or a text file with a path, a tab and a class per line; or tar shards")
	fs.StringVar(&e.reference, "reference", "", "`DIR` with the images to find neighbours in, of the same classes; by default those of --data")
	fs.StringVar(&e.k, "k", "20,200", "numbers `K` of voting neighbours, comma-separated; values above the number of images are ignored")
	fs.Float64Var(&e.temperature, "temperature", 0.07, "temperature `T` of the vote weights")
	fs.IntVar(&e.limit, "limit", 10000, "use at most `N` images of --data, and as many of --reference, chosen evenly over all folders; published kNN figures use the whole training set as --reference")
	fs.BoolVar(&e.probe, "probe", true, "train the linear probe; --probe=false skips it, the slowest part with many classes")
	fs.BoolVar(&e.asJSON, "json", false, "print one JSON object")
	e.foreign.Register(fs)
	e.files.Register(fs)
	e.machine.Register(fs)
	return fs
}

// evaluation is one invocation of vicreg eval.
type evaluation struct {
	model, data, reference string
	k                      string
	ks                     []int // numbers of neighbours that vote
	limit                  int
	temperature            float64
	asJSON                 bool
	probe                  bool
	foreign                encoder.Flags
	files                  bulk.Files
	machine                bulk.Machine
	stderr                 io.Writer

	queries, base *dataset.Set // base is nil without --reference
}

// load checks the flags and indexes the folders.
func (e *evaluation) load(ctx context.Context) (err error) {
	if e.ks, err = neighborCounts(e.k); err != nil {
		return err
	}
	switch {
	case !(e.temperature > 0 && e.temperature <= math.MaxFloat64):
		return usage.Errorf("--temperature %g: want a finite number above 0", e.temperature)
	case e.limit < 2:
		return usage.Errorf("--limit %d: want at least 2 images", e.limit)
	}
	if e.queries, err = dataset.Open(ctx, e.data, dataset.Options{}); err != nil {
		return &usage.Error{Err: err}
	}
	if e.queries.Len() < 2 {
		return usage.Errorf("%s has only one image: want at least two to compare", e.data)
	}
	if e.reference == "" {
		return nil
	}
	if e.base, err = dataset.Open(ctx, e.reference, dataset.Options{}); err != nil {
		return &usage.Error{Err: err}
	}
	kinds := map[string]bool{}
	for i := range e.base.Len() {
		kinds[e.base.Label(i)] = e.base.Label(i) != ""
	}
	for i := range e.queries.Len() {
		if kinds[e.queries.Label(i)] {
			return nil
		}
	}
	return usage.Errorf("no folder in %s has the name of one in %s: nothing to find", e.reference, e.data)
}

// neighborCounts parses the numbers of neighbours that vote.
func neighborCounts(text string) (ks []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		k, err := strconv.Atoi(strings.TrimSpace(part))
		switch {
		case err != nil:
			return nil, usage.Errorf("-k %s: want a whole number, or several separated by commas", text)
		case k < 1:
			return nil, usage.Errorf("-k %s: want at least 1 neighbour", text)
		}
		ks = append(ks, k)
	}
	return ks, nil
}

// measure encodes the images and computes the figures.
func (e *evaluation) measure(ctx context.Context) (*figures, error) {
	lib, err := e.machine.Open()
	if err != nil {
		return nil, err
	}
	enc, err := e.foreign.Open(lib, e.model, e.machine.Alone())
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	defer enc.Close()
	queries, err := e.encode(ctx, enc, e.queries)
	if err != nil {
		return nil, err
	}
	var base *sample
	if e.base != nil {
		if base, err = e.encode(ctx, enc, e.base); err != nil {
			return nil, err
		}
	}
	f := &figures{Fingerprint: enc.Fingerprint(), Images: queries.y.N, Dim: enc.Dim()}
	f.RankMe, f.Std = number(stats.RankMe(queries.y)), number(stats.NormalizedStd(queries.y))
	f.Spread = f.Std * number(math.Sqrt(float64(f.Dim)))
	if base != nil {
		f.Copies = queries.among(base)
	}
	c := newComparison(queries, base, enc.Metadata().Center, e.ks, e.temperature)
	if c == nil { // none of the figures that copies would flatter
		return f, ctx.Err()
	}
	if f.Copies > 0 {
		fmt.Fprintf(e.stderr, "vicreg eval: %d of %d images in %s are also in %s, byte for byte: each is its own nearest neighbour and was trained on, so all accuracies are too high\n",
			f.Copies, f.Images, e.queries.Source(), e.base.Source())
	}
	if n := c.queries.repeated(); base == nil && n > 0 {
		fmt.Fprintf(e.stderr, "vicreg eval: %d of %d images in %s are byte for byte like another one there, which each has as nearest neighbour: knn and recall are too good by that (vicreg data check lists them)\n",
			n, f.Images, e.queries.Source())
	}
	c.progress, c.bare = e.stderr, !e.probe
	if f.Kinds, err = c.measure(ctx, &linear.Prober{Runtime: lib, Threads: e.machine.Threads}); err != nil {
		return nil, err
	}
	return f, ctx.Err()
}

// encode encodes the chosen images of a set.
func (e *evaluation) encode(ctx context.Context, enc *encoder.Encoder, set *dataset.Set) (*sample, error) {
	chosen := evenly(set.Len(), e.limit)
	fmt.Fprintf(e.stderr, "encoding %d of %s in %s\n", len(chosen), usage.Count(set.Len(), "image"), set.Source())
	files := make([]bulk.Hash, len(chosen))
	file := func(i int) *bulk.Hash { at, _ := slices.BinarySearch(chosen, i); return &files[at] }
	reader := dataset.NewReader(set, dataset.ReaderConfig{Limits: e.files.Limits(), Conversion: enc.Metadata().Preprocess.Conversion, Look: &dataset.Look{
		File:    func(i int, data []byte) bool { *file(i) = sha256.Sum256(data); return true },
		Picture: func(int, *imaging.RGB) {},
	}})
	s := newSample(enc)
	err := bulk.Represent(ctx, enc, reader, chosen, func(p dataset.Picture, y []float32) error {
		s.add(set.Label(p.Index), *file(p.Index), p.Pixels, y)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("encode the images in %s: %w", set.Source(), err)
	}
	for _, b := range reader.Quarantined() {
		fmt.Fprintf(e.stderr, "skipped %s: %s\n", usage.Printable(b.Key), usage.Printable(b.Reason))
	}
	if s.y.N < 2 {
		return nil, errors.New("fewer than two images could be read in " + set.Source())
	}
	return s, nil
}
