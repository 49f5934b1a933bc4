package indexing

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
	"vicreg/pipeline/whole"
	"vicreg/server/index"
)

// exporting is an export under way.
type exporting struct {
	file, out, namespace string
	force                bool

	index *index.File
	ids   []string
	info  vectors.Info
}

func runExport(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	e := &exporting{}
	f := usage.Flags(stdout, usage.Text{
		Name:     "index export",
		Purpose:  "Write the vectors of a namespace to a file, as the model produced them.",
		Synopsis: "FILE -o VECTORS [flags]",
		Examples: []string{
			"vicreg index export photos.index -o photos.npy",
			"vicreg index export photos.index -o photos.jsonl --namespace holidays",
		},
		Notes: `VECTORS ends in .npy (rows of float32; VECTORS.paths has the ids, one per line),
.parquet (path and embedding) or .jsonl, the only format that also has metadata,
source and sha256. VECTORS.json names the model. Rows are in the order in which the
ids were first added. vicreg index add accepts such a file. The index may be in use
by a server.`,
	})
	f.StringVar(&e.out, "o", "", "write to `VECTORS`, a .npy, .jsonl or .parquet file")
	namespaceFlag(f, &e.namespace)
	f.BoolVar(&e.force, "force", false, "overwrite VECTORS and its side files if they exist")
	if err := usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &e.file}); err != nil {
		return err
	}
	if err := errors.Join(usage.Require(f, "o"), checkNamespace(e.namespace)); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	if e.index, err = open(ctx, e.file, index.Options{ReadOnly: true}, stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.index.Close()) }()
	if err := inhabited(e.index, e.file, e.namespace); err != nil {
		return err
	}
	if err := e.write(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s: %s of %s, model %s\n", usage.Printable(e.out), usage.Count(e.info.Count, "vector"), usage.Count(e.info.Dim, "number"), e.info.Fingerprint)
	return err
}

// sides returns the suffixes of the files that are written beside the vectors.
func (e *exporting) sides() []string {
	if strings.EqualFold(filepath.Ext(e.out), ".npy") {
		return []string{".json", ".paths"}
	}
	return []string{".json"}
}

// check reports what prevents writing the output.
func (e *exporting) check() error {
	if !vectors.Known(e.out) {
		return usage.Errorf("-o %s: want a name that ends in %s", usage.Printable(e.out), strings.Join(vectors.Formats, ", "))
	}
	for _, side := range append([]string{""}, e.sides()...) {
		if err := usage.CheckOutput("-o", e.out+side, e.force, e.own()...); err != nil {
			return err
		}
	}
	return nil
}

// own returns the files that the index consists of.
func (e *exporting) own() (files []string) {
	path, err := filepath.EvalSymlinks(e.file) // the others are beside the file itself
	if err != nil {
		path = e.file
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		files = append(files, path+suffix)
	}
	return files
}

// write writes all files or, on failure, leaves the previous ones.
func (e *exporting) write(ctx context.Context) error {
	h := sha256.New()
	err := each(ctx, e.index, e.namespace, false, func(it index.Item, _ int) error {
		e.ids = append(e.ids, it.ID)
		_, err := io.WriteString(h, it.ID+"\x00")
		return err
	})
	if err != nil {
		return err
	}
	if len(e.ids) == 0 {
		return usage.Errorf("namespace %s of %s is empty", usage.Printable(e.namespace), usage.Printable(e.file))
	}
	b := e.index.Binding()
	e.info = vectors.Info{Fingerprint: b.Fingerprint, Dim: b.Dim, Source: e.file, Images: hex.EncodeToString(h.Sum(nil)[:16]), Count: len(e.ids), Bad: []vectors.Bad{}}
	parts := []whole.Part{{Write: func(w io.Writer) error { return e.rows(ctx, w) }}}
	for _, side := range e.sides() {
		parts = append(parts, whole.Part{Ending: side, Write: func(w io.Writer) error { return e.side(side, w) }})
	}
	return whole.Together(e.out, parts...)
}

// side writes a file beside the vectors.
func (e *exporting) side(side string, w io.Writer) error {
	if side == ".json" {
		return printJSON(w, e.info)
	}
	_, err := io.WriteString(w, strings.Join(e.ids, "\n")+"\n")
	return err
}

// rows writes the items, which must be the same as in the first pass.
func (e *exporting) rows(ctx context.Context, out io.Writer) error {
	put, finish, err := e.writer(out)
	if err != nil {
		return err
	}
	n := 0
	err = each(ctx, e.index, e.namespace, true, func(it index.Item, _ int) error {
		if n == len(e.ids) || it.ID != e.ids[n] {
			return errors.New("items were deleted during the export: try again")
		}
		n++
		return put(it)
	})
	if err == nil && n < len(e.ids) {
		err = errors.New("items were deleted during the export: try again")
	}
	return errors.Join(err, finish())
}

// writer chooses the format by the name of the output.
func (e *exporting) writer(out io.Writer) (put func(index.Item) error, finish func() error, err error) {
	if strings.EqualFold(filepath.Ext(e.out), ".jsonl") {
		b := bufio.NewWriter(out)
		lines := json.NewEncoder(b)
		return func(it index.Item) error {
			return lines.Encode(vectors.Row{Path: it.ID, Embedding: it.Vector, Source: it.Source, Hash: hex.EncodeToString(it.Hash), Metadata: it.Metadata})
		}, b.Flush, nil
	}
	w, err := vectors.Create(out, e.out, e.info)
	if err != nil {
		return nil, nil, err
	}
	return func(it index.Item) error { return w.Write(it.ID, it.Vector) }, w.Close, nil
}
