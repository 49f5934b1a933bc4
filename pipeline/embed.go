package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// embedding is one invocation of vicreg embed.
type embedding struct {
	data             []string
	model, out       string
	center           bool // before normalising
	normalize, force bool
	foreign          encoder.Flags
	files            bulk.Files
	machine          bulk.Machine
	stdout, stderr   io.Writer

	enc     *encoder.Encoder
	mean    []float32 // of the model; nil if its file has none
	set     *dataset.Set
	reader  *dataset.Reader
	journal *vectors.Journal
	reasons map[string]string // why images are bad, by key
}

// Embed turns images into a file of vectors: vicreg embed.
func Embed(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	e := &embedding{stdout: stdout, stderr: stderr}
	fs := usage.Flags(stdout, usage.Text{
		Name:     "embed",
		Purpose:  "Compute the vectors of images with an exported model and write them to a file.",
		Synopsis: "DIR... --model FILE -o VECTORS [flags]",
		Examples: []string{
			"vicreg embed photos --model backbone.onnx -o photos.npy",
			"vicreg embed photos --model backbone.onnx -o photos.parquet --center --normalize",
			"vicreg embed cat.jpg dog.jpg --model backbone.onnx -o pets.jsonl",
		},
		Notes: `DIR is a folder, searched recursively, a text file with one path per line (what follows a
tab is a label), tar shards, or image files, also as a quoted pattern. With several DIRs,
no two images may have the same path.

VECTORS ends in .npy (rows of float32; VECTORS.paths has the paths, one per line),
.jsonl or .parquet (path and embedding). Rows are in the order of the paths.
VECTORS.json holds the model's fingerprint and the files that could not be read. After an
interruption the same command continues from VECTORS.part, if no image has changed.

For a vector database use --center: the cosine of two centred vectors is the score that
vicreg search and POST /similar give the two images, while the cosines of the model's raw
vectors are all close to 1. vicreg index subtracts the mean itself: it expects vectors
made without --center and --normalize.`,
	})
	fs.StringVar(&e.model, "model", "", "exported model `FILE`")
	fs.StringVar(&e.out, "o", "", "write to `VECTORS`, a .npy, .jsonl or .parquet file")
	fs.BoolVar(&e.center, "center", false, "subtract the model's mean vector (stored in its file) from each vector")
	fs.BoolVar(&e.normalize, "normalize", false, "scale each vector to length 1, after --center")
	fs.BoolVar(&e.force, "force", false, "overwrite VECTORS and its side files if they exist, starting over")
	e.foreign.Register(fs)
	e.files.Register(fs)
	e.machine.Register(fs)
	if err := usage.ParseAll(fs, args, "DIR", &e.data); err != nil {
		return err
	}
	if err := errors.Join(e.machine.Validate(), usage.Require(fs, "model", "o"), e.foreign.Validate(), e.files.Validate()); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	return e.run(ctx)
}

// check reports what prevents writing the output.
func (e *embedding) check() error {
	if !vectors.Known(e.out) {
		return usage.Errorf("-o %s: want a name that ends in %s", e.out, strings.Join(vectors.Formats, ", "))
	}
	// An interrupted run may have left some of the files beside VECTORS; resuming may overwrite
	// them.
	_, err := os.Stat(e.part())
	goesOn := err == nil
	for _, path := range e.outputs() {
		if err := checkOutput("-o", path, e.force || goesOn && path != e.out, append(e.data, e.model)...); err != nil {
			return err
		}
	}
	return nil
}

// spare returns an error if an output file would overwrite an image.
func (e *embedding) spare() error {
	for _, path := range e.outputs() {
		if err := spareImages("-o", path, e.set); err != nil {
			return err
		}
	}
	return nil
}

func (e *embedding) run(ctx context.Context) (err error) {
	// No index, since a cached one would miss files replaced in the meantime.
	if e.set, err = dataset.OpenAll(ctx, e.data, dataset.Options{Index: dataset.NoIndex}); err != nil {
		return &usage.Error{Err: err}
	}
	if err := e.checkKeys(); err != nil {
		return err
	}
	if err := e.spare(); err != nil {
		return err
	}
	lib, err := e.machine.Open()
	if err != nil {
		return err
	}
	if e.enc, err = e.foreign.Open(lib, e.model, e.machine.Session()); err != nil {
		return &usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, e.enc.Close()) }()
	if e.mean = e.enc.Metadata().Mean(); e.center && e.mean == nil {
		return usage.Errorf("--center: %s stores no mean vector: omit --center", usage.Printable(e.model))
	}
	part := e.part()
	if err := e.openJournal(part); err != nil {
		return err
	}
	err = e.encode(ctx)
	if err == nil {
		err = e.finish()
	}
	if errors.Is(err, errNoVector) { // resuming would be pointless once the files are repaired
		err = errors.Join(err, discard(part))
	}
	if err = errors.Join(err, e.journal.Close()); err != nil {
		return err
	}
	return discard(part)
}

func (e *embedding) info() vectors.Info {
	return vectors.Info{Model: usage.UTF8(filepath.Base(e.model)), Fingerprint: e.enc.Fingerprint(), Dim: e.enc.Dim(),
		Centered: e.center, Normalized: e.normalize, Source: usage.UTF8(e.set.Source()), Images: e.set.Fingerprint(), Bad: []vectors.Bad{}}
}

// encode extends the journal up to the last image of the set.
func (e *embedding) encode(ctx context.Context) error {
	if others := e.set.OthersLine(); others != "" {
		fmt.Fprintln(e.stderr, "skipped", others)
	}
	done, n := e.journal.Len(), e.set.Len()
	if done > 0 {
		fmt.Fprintf(e.stderr, "continuing after %d of %s\n", done, usage.Count(n, "image"))
	}
	todo := make([]int, n-done)
	for i := range todo {
		todo[i] = done + i
	}
	e.reader = dataset.NewReader(e.set, dataset.ReaderConfig{Limits: e.files.Limits(), Conversion: e.enc.Metadata().Preprocess.Conversion, MaxBad: 1})
	line, begin := bulk.NewLine(e.stderr), time.Now()
	err := bulk.Encode(ctx, e.enc, e.machine.Workers(), e.reader, todo, func(p dataset.Picture, y []float32) error {
		if err := e.skip(p.Index); err != nil {
			return err
		}
		if !bulk.Finite(y) {
			return e.journal.AddBad("its vector is not finite")
		}
		if e.center {
			stats.Subtract(y, e.mean)
		}
		if e.normalize && !stats.Unit(y) {
			return e.journal.AddBad("its vector has no direction")
		}
		line.Show(func() string { return bulk.Rate("embedded", e.journal.Len(), n, done, begin) })
		return e.journal.Add(y)
	})
	line.Clear()
	if err != nil {
		return errors.Join(err, e.journal.Flush())
	}
	return e.skip(n)
}

// skip records the images before i that yielded no picture as bad.
func (e *embedding) skip(i int) error {
	for e.journal.Len() < i {
		if err := e.journal.AddBad(e.reason(e.set.Key(e.journal.Len()))); err != nil {
			return err
		}
	}
	return nil
}

// reason returns why the image with this key could not be read.
func (e *embedding) reason(key string) string {
	if _, known := e.reasons[key]; !known { // the reader is ahead, so this covers later images too
		e.reasons = map[string]string{}
		for _, b := range e.reader.Quarantined() {
			e.reasons[b.Key] = b.Reason
		}
	}
	return e.reasons[key]
}
