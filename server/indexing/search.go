package indexing

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
	"vicreg/server/index/filter"
)

// searching is a search under way.
type searching struct {
	file, model, image, id, namespace string
	filter                            string
	k                                 int
	threshold                         float64
	asJSON                            bool
	foreign                           encoder.Flags
	files                             bulk.Files
	machine                           bulk.Machine
	stdout, stderr                    io.Writer

	query index.Query
	note  string // why nothing is found, if known
}

// Search runs vicreg search: it finds the images of an index most similar to another.
func Search(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := &searching{stdout: stdout, stderr: stderr}
	fs := usage.Flags(stdout, usage.Text{
		Name:     "search",
		Purpose:  "Find the images in an index that are most similar to another.",
		Synopsis: "FILE (--image FILE --model FILE | --id ID) [flags]",
		Examples: []string{
			"vicreg search photos.index --model backbone.onnx --image cat.jpg",
			`vicreg search photos.index --id cats/7.jpg -k 3 --filter '{"year": {"$gte": 2020}}'`,
		},
		Notes: `Each line has the rank, the score (-1 to 1), the percentile (how many pairs of images in
the namespace have a lower score, in percent) and the id. Above 81 images the percentile
is estimated from random pairs, 40 per image and at most 20,000. An image given by --id
is not part of its own results.

A filter is a JSON object, such as {"label": "cat"}, with the operators $eq $ne $in $nin
$gt $gte $lt $lte $exists $and $or $not. The index may be in use by a server.`,
	})
	fs.StringVar(&s.image, "image", "", "image `FILE` to search for")
	fs.StringVar(&s.model, "model", "", "exported model `FILE` that the index was made with")
	fs.StringVar(&s.id, "id", "", "`ID` of an image in the index to search for")
	namespaceFlag(fs, &s.namespace)
	fs.IntVar(&s.k, "k", 10, "return at most `N` images")
	fs.StringVar(&s.filter, "filter", "", "`JSON` filter that the metadata must match")
	fs.Float64Var(&s.threshold, "threshold", -1, "lowest `score` to return, -1 to 1")
	fs.BoolVar(&s.asJSON, "json", false, "print one JSON object")
	s.foreign.Register(fs)
	s.files.Register(fs)
	s.machine.Register(fs)
	if err := usage.Parse(fs, args, usage.Positional{Name: "FILE", Value: &s.file}); err != nil {
		return err
	}
	if err := s.validate(fs); err != nil {
		return err
	}
	return s.run(ctx)
}

// validate rejects conflicting flags, and makes the query without its vector.
func (s *searching) validate(fs *flag.FlagSet) error {
	switch {
	case (s.image == "") == (s.id == ""):
		return usage.Errorf("want either --image FILE or --id ID")
	case s.image != "" && s.model == "":
		return usage.Errorf("--model FILE is missing: it turns the image into a vector")
	case s.k < 1 || s.k > index.MaxK:
		return usage.Errorf("-k %d: want 1 to %d", s.k, index.MaxK)
	}
	s.query = index.Query{ID: s.id, K: s.k}
	if usage.Given(fs, "threshold") {
		least := float32(s.threshold)
		if !(least >= -1 && least <= 1) {
			return usage.Errorf("--threshold %v: want a number from -1 to 1", s.threshold)
		}
		s.query.Least = &least
	}
	if s.filter != "" {
		f, err := filter.Parse([]byte(s.filter))
		if err != nil {
			return usage.Errorf("--filter: %w", err)
		}
		s.query.Filter = f
	}
	return errors.Join(checkNamespace(s.namespace), s.foreign.Validate(), s.files.Validate(), s.machine.Validate())
}

func (s *searching) run(ctx context.Context) (err error) {
	var binding index.Binding
	if s.model != "" {
		if binding, err = s.encode(ctx); err != nil {
			return err
		}
	}
	f, err := open(ctx, s.file, index.Options{Binding: binding, ReadOnly: true, Threads: s.machine.Threads}, s.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := inhabited(f, s.file, s.namespace); err != nil {
		return err
	}
	hits, err := f.Search(ctx, s.namespace, s.query)
	var no *index.QueryError
	if errors.As(err, &no) {
		return &usage.Error{Err: no.Err}
	}
	if err != nil {
		return err
	}
	if len(hits[0]) == 0 {
		s.note = index.Nothing(ctx, f, s.namespace, s.query.Filter)
	}
	if s.asJSON {
		return printJSON(s.stdout, s.object(f.Binding(), hits[0]))
	}
	return s.table(hits[0])
}

// encode opens the model and computes the vector of the image.
func (s *searching) encode(ctx context.Context) (b index.Binding, err error) {
	lib, err := s.machine.Open()
	if err != nil {
		return b, err
	}
	enc, err := s.foreign.Open(lib, s.model, s.machine.Alone())
	if err != nil {
		return b, &usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, enc.Close()) }()
	if s.image == "" {
		return bindingOf(enc), nil
	}
	data, err := os.ReadFile(s.image)
	if err != nil {
		return b, usage.Errorf("--image: %w", err)
	}
	enc.Limits = s.files.Limits()
	if s.query.Vector, err = enc.EncodeImage(ctx, data); err != nil {
		return b, usage.Errorf("--image %s: %w", usage.Printable(s.image), err)
	}
	return bindingOf(enc), nil
}

// table prints one line per hit.
func (s *searching) table(hits []index.Hit) error {
	if len(hits) == 0 {
		text := "nothing in namespace " + usage.Printable(s.namespace) + " is like it"
		if s.note != "" {
			text = s.note
		}
		_, err := fmt.Fprintln(s.stdout, text)
		return err
	}
	for i, h := range hits {
		share := "      -"
		if !math.IsNaN(h.Percentile) {
			share = fmt.Sprintf("%6.2f%%", h.Percentile)
		}
		if _, err := fmt.Fprintf(s.stdout, "%4d  %7.4f  %s  %s\n", i+1, h.Score, share, usage.Printable(h.ID)); err != nil {
			return err
		}
	}
	return nil
}

// object returns the JSON output.
func (s *searching) object(b index.Binding, hits []index.Hit) any {
	type result struct {
		ID         string          `json:"id"`
		Score      float32         `json:"score"`
		Percentile *float64        `json:"percentile"`
		Metadata   json.RawMessage `json:"metadata"`
		Source     string          `json:"source"`
	}
	results := make([]result, len(hits))
	for i, h := range hits {
		results[i] = result{h.ID, h.Score, &h.Percentile, h.Metadata, h.Source}
		if math.IsNaN(h.Percentile) {
			results[i].Percentile = nil
		}
		if len(h.Metadata) == 0 {
			results[i].Metadata = json.RawMessage("{}")
		}
	}
	about := map[string]any{"model": b.Fingerprint, "namespace": s.namespace, "similarity": b.Similarity(), "results": results}
	if s.note != "" {
		about["note"] = s.note
	}
	return about
}
