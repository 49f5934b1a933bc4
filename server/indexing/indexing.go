// Package indexing implements the commands on similarity indexes: vicreg index and vicreg search.
package indexing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// word is a sub-command of vicreg index.
type word struct {
	name, synopsis, purpose string
	run                     func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func words() []word {
	return []word{
		{"add", "DIR...", "add images to an index, or update it", runAdd},
		{"remove", "FILE ID...", "remove items, all of a namespace, or all damaged ones", runRemove},
		{"info", "FILE", "describe an index: items, namespaces, model, size", runInfo},
		{"duplicates", "FILE", "find duplicate and nearly identical images", runDuplicates},
		{"check", "FILE", "compare all of an index with its checksums and list what is damaged", runCheck},
		{"backup", "FILE", "copy an index, even while a server writes to it", runBackup},
		{"restore", "COPY FILE", "put a backup in place of an index", runRestore},
		{"export", "FILE", "write the vectors of an index to a file", runExport},
		{"compact", "FILE", "reclaim the disk space of deleted items", runCompact},
		{"rebuild", "FILE", "recompute all vectors with another model", runRebuild},
	}
}

// Index runs vicreg index, the commands on similarity indexes.
func Index(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var names []string
	for _, w := range words() {
		if len(args) > 0 && args[0] == w.name {
			return usage.Of("index "+w.name, w.run(ctx, args[1:], stdout, stderr))
		}
		names = append(names, w.name)
	}
	if len(args) == 0 {
		return usage.Errorf("want %s", strings.Join(names, ", "))
	}
	switch args[0] {
	case "-h", "-help", "--help":
		io.WriteString(stdout, overview())
		return flag.ErrHelp
	}
	hint := ""
	if near := usage.Closest(args[0], names); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return usage.Errorf("unknown command %q: want %s%s", args[0], strings.Join(names, ", "), hint)
}

func overview() string {
	var b strings.Builder
	b.WriteString("Manage a file of images and their vectors for similarity search.\n\nUsage:\n")
	for _, w := range words() {
		fmt.Fprintf(&b, "  vicreg index %-17s  %s\n", w.name+" "+w.synopsis, w.purpose)
	}
	b.WriteString("\nRun vicreg index COMMAND --help for more. vicreg search searches an index, and\nvicreg serve --index serves it.\n")
	return b.String()
}

// namespaceFlag registers the flag that selects a namespace.
func namespaceFlag(fs *flag.FlagSet, value *string) {
	fs.StringVar(value, "namespace", index.DefaultNamespace, "`NAME` of the namespace, a separate collection in the index")
}

func checkNamespace(name string) error {
	if err := index.CheckID(name); err != nil {
		return usage.Errorf("--namespace: it %w", err)
	}
	return nil
}

// inhabited rejects a namespace without items, whose name is most likely misspelt: a command
// would find nothing there and say so. The default namespace of an index without any items is
// accepted.
func inhabited(f *index.File, path, namespace string) error {
	if f.Len() == 0 && namespace == index.DefaultNamespace {
		return nil
	}
	if absent := index.Absent(f, namespace, nil); absent != "" {
		return usage.Errorf("%s: %s", usage.Printable(path), absent)
	}
	return nil
}

// bindingOf returns what an index stores of a model.
func bindingOf(enc *encoder.Encoder) index.Binding {
	return index.Bind(enc.Fingerprint(), enc.Dim(), enc.Metadata().Center)
}

// open opens an index, with a line that shows progress, and says if items of it are damaged.
// Errors say what to do.
func open(ctx context.Context, path string, o index.Options, stderr io.Writer) (*index.File, error) {
	line := bulk.NewLine(stderr)
	defer line.Clear()
	o.Progress = func(done, total int) {
		line.Show(func() string { return fmt.Sprintf("loaded %d of %d items", done, total) })
	}
	o.Restored = func() {
		fmt.Fprintf(stderr, "%s: a restore that was interrupted is complete now: the index is the backup\n", usage.Printable(path))
	}
	f, err := index.Open(ctx, path, o)
	if err != nil {
		return nil, advised(err, path, o.ReadOnly)
	}
	line.Clear()
	warn(stderr, path, f.Damaged())
	return f, nil
}

// advised adds what to do to an error of opening an index.
func advised(err error, path string, readOnly bool) error {
	switch {
	case errors.Is(err, index.ErrInUse) && !readOnly:
		return &usage.Error{Err: &owned{err}}
	case errors.Is(err, index.ErrModel):
		return usage.Errorf("%w; give --model the file of the index's model, or recompute its vectors for this one: vicreg index rebuild %s --model FILE", err, usage.Printable(path))
	case errors.Is(err, index.ErrForeign), errors.Is(err, index.ErrNewer), errors.Is(err, fs.ErrNotExist):
		return &usage.Error{Err: err}
	}
	return err
}

// owned is the error for an index that another process owns, to a command that changes items.
type owned struct{ err error }

func (e *owned) Error() string {
	return e.err.Error() + "; while vicreg serve owns an index, change it through the server (vicreg index add --server URL, vicreg index remove --server URL)"
}

func (e *owned) Unwrap() error { return e.err }

// alone replaces the advice for an index that another process owns, where a server cannot do what
// is wanted through its API.
func alone(err error, instead string) error {
	if e, ok := errors.AsType[*owned](err); ok {
		return usage.Errorf("%w; %s", e.err, instead)
	}
	return err
}

// told formats an image and what is said of it on one line.
func told(b dataset.Bad, between string) string {
	return usage.Printable(b.Key) + between + usage.Printable(b.Reason)
}

// some prints the first of many lines, and how many more there are.
func some(w io.Writer, name string, n int, line func(i int) string) {
	const most = 20
	for i := range min(n, most) {
		fmt.Fprintf(w, "%-10s %s\n", name, line(i))
	}
	if n > most {
		fmt.Fprintf(w, "%-10s and %d more\n", name, n-most)
	}
}
