package indexing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
	"vicreg/server/index"
)

// adding is an addition to an index under way.
type adding struct {
	data                   []string
	file, model, namespace string
	metadata, key, prefix  string
	server, keyFile        string
	prune                  bool
	foreign                encoder.Flags
	files                  bulk.Files
	machine                bulk.Machine
	stdout, stderr         io.Writer
	flags                  *flag.FlagSet
}

// target is where additions go: a file, or the server that owns one.
type target interface {
	// known returns everything in the namespace.
	known(ctx context.Context, progress func(done, total int)) (map[string]known, error)
	// images carries out the plan for the images of a set; done is called now and then.
	images(ctx context.Context, set *dataset.Set, p *plan, done func()) error
	// put stores entries. bad says for each, in order, why it cannot be stored, or "".
	put(ctx context.Context, entries []entry) (bad []string, err error)
	// vector returns the vector of an item.
	vector(ctx context.Context, id string) ([]float32, error)
	remove(ctx context.Context, ids []string) (removed int, err error)
	// space describes the vectors. A server does not reveal its centre, and checks vectors
	// against it itself.
	space() index.Binding
}

func runAdd(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	a := &adding{stdout: stdout, stderr: stderr}
	fs := usage.Flags(stdout, usage.Text{
		Name:     "index add",
		Purpose:  "Add images to a similarity index, or update it from a folder.",
		Synopsis: "DIR... (--index FILE --model FILE | --server URL) [flags]",
		Examples: []string{
			"vicreg index add photos --index photos.index --model backbone.onnx",
			"vicreg index add photos --index photos.index --model backbone.onnx --metadata photos.csv --prune",
			"vicreg index add photos.npy --index photos.index --model backbone.onnx",
			"vicreg index add photos --server http://localhost:8080",
		},
		Notes: `DIR is a folder, searched recursively, a text file with one path per line, tar shards, or
image files, also as a quoted pattern. Several are added as one set, in which no two
images may have the same id. DIR may also be a file of vectors written by vicreg embed or
vicreg index export (.npy, .jsonl or .parquet, with its side files); an existing item
keeps whatever such a file does not mention. The index is created if it does not exist.

An image's id is its path below DIR (SHARD/MEMBER in shards, the path as written in a
list, the name of a single file) after the text of --prefix. If an id already belongs to
another image that still exists elsewhere, it stays with that one: give folders that
share file names separate prefixes, such as A/, or separate namespaces. An image that is
already indexed with the same id and bytes (by SHA-256) costs no more than reading its
file. Whatever was stored is on disk: to continue after an interruption, run the same
command again.

Images that were indexed from a folder or shards and no longer exist are listed, and
removed with --prune. --prune never removes an item whose source file still exists.

A metadata file is .csv, with column names in its first line, or .jsonl, with one object
per line. A row is matched to an image by id (with or without the prefix) or by path,
taken from the first column if that is named id or path, else from the column (or member)
that --key names. A column is numeric if each of its cells is a number as in JSON (0042
is not), boolean if each is true or false, else text; empty cells are left out. New
images get the label of their folder, list line, or shard's .cls or .json member as
"label", unless their row has one. Indexed images keep their metadata unless a row says
otherwise.

With --server the images are sent to a server, which owns the index and has the model. While the
server restarts or is overloaded a request is tried again for up to 10 minutes; one that
stands still for 3 minutes, or three times the server's --deadline, is given up.`,
	})
	a.flags = fs
	fs.StringVar(&a.file, "index", "", "`FILE` of the index")
	fs.StringVar(&a.model, "model", "", "exported model `FILE` that the index belongs to")
	namespaceFlag(fs, &a.namespace)
	fs.StringVar(&a.metadata, "metadata", "", "`FILE` with metadata of the images, .csv or .jsonl")
	fs.StringVar(&a.key, "key", "", "`COLUMN` of the metadata file that holds the id; by default the first, if it is named id or path")
	fs.StringVar(&a.prefix, "prefix", "", "`TEXT` to prepend to each id, such as 2026/")
	fs.BoolVar(&a.prune, "prune", false, "remove images that were indexed from DIR and whose files no longer exist")
	fs.StringVar(&a.server, "server", "", "`URL` of the server that owns the index, instead of --index and --model; for a private CA set SSL_CERT_FILE to its certificate")
	fs.StringVar(&a.keyFile, "api-key-file", "", "`FILE` with the server's API key: its first line that is neither blank nor a # comment")
	a.foreign.Register(fs)
	a.files.Register(fs)
	a.machine.Register(fs)
	if err := usage.ParseAll(fs, args, "DIR", &a.data); err != nil {
		return err
	}
	if err := a.validate(); err != nil {
		return err
	}
	return a.run(ctx)
}

// ofVectors reports whether DIR is a file of vectors.
func (a *adding) ofVectors() bool { return slices.ContainsFunc(a.data, vectors.Known) }

// validate rejects conflicting flags.
func (a *adding) validate() error {
	switch {
	case a.file == "" && a.server == "":
		return usage.Errorf("--index FILE or --server URL is missing")
	case a.file != "" && a.server != "":
		return usage.Errorf("--index and --server are mutually exclusive: a server has its own index")
	case a.server == "" && a.keyFile != "":
		return usage.Errorf("--api-key-file requires --server")
	case a.server == "" && a.model == "" && !a.ofVectors():
		return usage.Errorf("--model FILE is missing")
	case a.key != "" && a.metadata == "":
		return usage.Errorf("--key requires --metadata")
	case a.ofVectors() && len(a.data) > 1:
		return usage.Errorf("a file of vectors must be the only DIR")
	case a.prune && a.ofVectors():
		return usage.Errorf("--prune is for folders and shards: a file of vectors does not tell which images no longer exist")
	}
	for _, name := range []string{"model", "foreign", "threads", "onnxruntime", "max-pixels"} {
		if a.server != "" && usage.Given(a.flags, name) {
			return usage.Errorf("--%s requires --index: a server has its own model and limits", name)
		}
	}
	if a.prefix != "" {
		if err := index.CheckID(a.prefix); err != nil {
			return usage.Errorf("--prefix: it %w", err)
		}
	}
	return errors.Join(checkNamespace(a.namespace), a.foreign.Validate(), a.files.Validate(), a.machine.Validate())
}

func (a *adding) run(ctx context.Context) (err error) {
	source, err := a.find(ctx)
	if err != nil {
		return err
	}
	p := &plan{root: source.root, roots: source.roots, prefix: a.prefix}
	if a.metadata != "" {
		if p.rows, err = readRows(a.metadata, a.key, source.root); err != nil {
			return err
		}
	}
	to, err := a.open(ctx, source)
	if err != nil {
		return err
	}
	if c, ok := to.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	p.space = to.space()
	line := bulk.NewLine(a.stderr)
	p.known, err = to.known(ctx, func(done, total int) {
		line.Show(func() string { return fmt.Sprintf("reading the index: %d of %d items", done, total) })
	})
	if err == nil {
		begin := time.Now()
		err = source.add(ctx, to, p, func() {
			line.Show(func() string { return bulk.Rate("indexed", p.finished(), source.n, 0, begin) })
		})
	}
	line.Clear()
	if err != nil {
		if n := p.stored(); n > 0 {
			fmt.Fprintf(a.stderr, "%s stored; run the same command to continue\n", usage.Count(n, "image"))
		}
		return err
	}
	return a.finish(ctx, source, to, p)
}

// open opens the index to add to.
func (a *adding) open(ctx context.Context, from *origin) (target, error) {
	if a.server != "" {
		c, err := newClient(a.server, a.keyFile, a.stderr)
		if err != nil {
			return nil, err
		}
		r, err := connect(ctx, c, a.namespace)
		if err == nil {
			err = from.fits(r.binding, r.centered, a.server)
		}
		return r, err
	}
	l := &local{namespace: a.namespace, workers: a.machine.Workers(), limits: a.files.Limits()}
	var binding index.Binding
	if a.model != "" {
		lib, err := a.machine.Open()
		if err != nil {
			return nil, err
		}
		if l.enc, err = a.foreign.Open(lib, a.model, a.machine.Session()); err != nil {
			return nil, &usage.Error{Err: err}
		}
		binding = bindingOf(l.enc)
		if err := from.fits(binding, binding.Center != nil, a.model); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	var err error
	if l.file, err = open(ctx, a.file, index.Options{Binding: binding, Create: a.model != ""}, a.stderr); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if b := l.file.Binding(); a.model == "" {
		if err := from.fits(b, b.Center != nil, a.file); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// finish reports what was done and removes what is gone.
func (a *adding) finish(ctx context.Context, from *origin, to target, p *plan) error {
	if len(p.bad) == from.n {
		return fmt.Errorf("none of the %d images could be indexed; %s", from.n, told(p.bad[0], ": "))
	}
	gone, elsewhere := p.leftOver(from)
	items, removed := len(p.known)+p.done[insert], 0
	if a.prune {
		var err error
		if removed, err = to.remove(ctx, gone); err != nil {
			return err
		}
		items -= len(gone)
	}
	where := a.file
	if a.server != "" {
		where = a.server
	}
	fmt.Fprintf(a.stdout, "%s, namespace %s: %d new, %d changed, %d with new metadata or path, %d unchanged, %d bad; %s\n", usage.Printable(where), usage.Printable(a.namespace),
		p.done[insert], p.done[replace], p.done[describe], p.done[leave], len(p.bad), usage.Count(items, "item"))
	some(a.stdout, "bad", len(p.bad), func(i int) string { return told(p.bad[i], ": ") })
	some(a.stdout, "gone", len(gone), func(i int) string { return usage.Printable(gone[i]) })
	switch {
	case removed > 0:
		fmt.Fprintf(a.stdout, "removed %s no longer in %s\n", usage.Count(removed, "image"), usage.Printable(from.name))
	case len(gone) > 0 && !a.prune:
		fmt.Fprintf(a.stdout, "in the index but no longer in %s: %s; --prune removes them\n", usage.Printable(from.name), usage.Count(len(gone), "image"))
	}
	if r, is := to.(*remote); is && r.bared.Load() > 0 {
		fmt.Fprintf(a.stdout, "%s lost their thumbnails, because their images are not on this disk\n", usage.Count(r.bared.Load(), "item"))
	}
	if len(elsewhere) > 0 {
		fmt.Fprintf(a.stdout, "already indexed under another id: %s, such as %s\n", usage.Count(len(elsewhere), "image"), usage.Printable(elsewhere[0]))
	}
	some(a.stdout, "kept", len(p.held), func(i int) string { return told(p.held[i], " ") })
	if n := len(p.held); n > 0 {
		fmt.Fprintf(a.stdout, "skipped %s whose ids belong to other images; use --prefix TEXT or --namespace to keep them apart\n", usage.Count(n, "image"))
	}
	if p.displaced > 0 {
		fmt.Fprintf(a.stdout, "%d of the changed images replaced images with the same ids whose files no longer exist\n", p.displaced)
	}
	if left := p.unmatched(from.ids); len(left) > 0 {
		fmt.Fprintf(a.stdout, "%s of %s without an image, such as %s\n", usage.Count(len(left), "row"), usage.Printable(a.metadata), usage.Printable(left[0]))
	}
	return nil
}
