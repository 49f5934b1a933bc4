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

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
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

// flags are those of the command; the help goes to out.
func (e *evaluation) flags(out io.Writer) *flag.FlagSet {
	fs := usage.Flags(out, usage.Text{
		Name:     "eval",
		Purpose:  "Measure how well the vectors of an exported model tell images apart, beside raw pixels and chance.",
		Synopsis: "--model FILE --data DIR [flags]",
		Examples: []string{
			"vicreg eval --model backbone.onnx --data test --reference train",
			"vicreg eval --model backbone.onnx --data photos --json",
		},
		Notes: fmt.Sprintf(`Folders directly in DIR are the kinds of the images. In a text file with a path a
line, the kind is what follows the path after a tab; in tar shards, the .cls
member beside the image, else "label" or "cls" in the .json one, else its first
folder. With at least two kinds each image
gets the one that its K nearest neighbours vote for, weighted by exp(cosine/T):
neighbours in --reference, or among the other images of --data.
Raw pixels are those the model sees, brought down to %d x %d where there are
more. Both are compared as they are and less their mean. Cosines within a kind
and between kinds are of vectors less the mean in the model file; a --foreign
model has none, and is compared as it is. Without kinds only RankMe and the
spread are printed; both say how many dimensions are in use, and compare between
models at the same D and number of images only. Spread is on the scale of that in
training, which is of the expander's embeddings; of these vectors, which a ReLU
keeps from being negative, that of a healthy model is well below 1. No weight is
trained here.`, rawSide, rawSide),
	})
	fs.StringVar(&e.model, "model", "", "exported `FILE` to measure")
	fs.StringVar(&e.data, "data", "", "`DIR` with the images, in folders named after their kinds if there are any; or a text file with a path, a tab and a kind a line; or tar shards")
	fs.StringVar(&e.reference, "reference", "", "`DIR` with the images to find neighbours in, of the same kinds; by default those of --data")
	fs.IntVar(&e.k, "k", 20, "`K` nearest neighbours that vote, or all where there are fewer")
	fs.Float64Var(&e.temperature, "temperature", 0.07, "`T` of the votes")
	fs.IntVar(&e.limit, "limit", 10000, "at most `N` images of --data, and as many of --reference, evenly chosen over all folders")
	fs.BoolVar(&e.asJSON, "json", false, "print one JSON object")
	e.foreign.Register(fs)
	e.files.Register(fs)
	e.machine.Register(fs)
	return fs
}

// evaluation is one evaluation under way.
type evaluation struct {
	model, data, reference string
	k, limit               int
	temperature            float64
	asJSON                 bool
	foreign                encoder.Flags
	files                  bulk.Files
	machine                bulk.Machine
	stderr                 io.Writer

	queries, base *dataset.Set // base is nil without --reference
}

// load checks the flags and indexes the folders.
func (e *evaluation) load(ctx context.Context) (err error) {
	switch {
	case e.k < 1:
		return usage.Errorf("-k %d: want at least 1 neighbour", e.k)
	case !(e.temperature > 0 && e.temperature <= math.MaxFloat64):
		return usage.Errorf("--temperature %g: want a finite number above 0", e.temperature)
	case e.limit < 2:
		return usage.Errorf("--limit %d: want at least 2 images", e.limit)
	}
	if e.queries, err = dataset.Open(ctx, e.data, dataset.Options{}); err != nil {
		return &usage.Error{Err: err}
	}
	if e.queries.Len() < 2 {
		return usage.Errorf("one image in %s is too few to compare", e.data)
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
	return usage.Errorf("no folder in %s is named like one in %s: there is nothing to find", e.reference, e.data)
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
	f.Kinds = compareKinds(queries, base, enc.Metadata().Center, e.k, e.temperature)
	if f.Copies > 0 {
		fmt.Fprintf(e.stderr, "vicreg eval: %d of %d images in %s are also in %s, byte for byte: each has itself as nearest neighbour, and knn is too good by that\n",
			f.Copies, f.Images, e.queries.Source(), e.base.Source())
	}
	return f, ctx.Err()
}

// encode turns the chosen images of a set into a sample.
func (e *evaluation) encode(ctx context.Context, enc *encoder.Encoder, set *dataset.Set) (*sample, error) {
	chosen := evenly(set.Len(), e.limit)
	fmt.Fprintf(e.stderr, "encoding %d of %d images in %s\n", len(chosen), set.Len(), set.Source())
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
		fmt.Fprintf(e.stderr, "left out %s: %s\n", usage.Printable(b.Key), usage.Printable(b.Reason))
	}
	if s.y.N < 2 {
		return nil, errors.New("fewer than two images could be read in " + set.Source())
	}
	return s, nil
}
