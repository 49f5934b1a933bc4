package indexing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// removing is a removal under way.
type removing struct {
	file, namespace string
	server, keyFile string
	all, damaged    bool
	ids             []string // sorted, distinct
}

// emptied is what items are removed from: a file, or the server that owns one.
type emptied interface {
	// lacking returns, in order, those of the ids that do not exist.
	lacking(ctx context.Context, ids []string) ([]string, error)
	// known returns everything that is there.
	known(ctx context.Context, progress func(done, total int)) (map[string]known, error)
	// remove returns how many items it has removed, also after an error; ids that do not exist
	// are no error.
	remove(ctx context.Context, ids []string) (removed int, err error)
}

func runRemove(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	r := &removing{}
	f := usage.Flags(stdout, usage.Text{
		Name:     "index remove",
		Purpose:  "Remove items from an index, all items of a namespace, or all damaged ones.",
		Synopsis: "FILE ID... | FILE --namespace NAME --all | FILE --damaged | --server URL ID... [flags]",
		Examples: []string{
			"vicreg index remove photos.index cats/7.jpg cats/8.jpg",
			"vicreg index remove photos.index --namespace holidays --all",
			"vicreg index remove photos.index --damaged",
			"vicreg index remove --server http://localhost:8080 cats/7.jpg",
		},
		Notes: `Image files are not touched, so vicreg index add would add them again. If an ID does not
exist, nothing is removed. In a file all items are removed, on disk, when the command
ends, or none if it fails; with --server they go one after another, and a server that
restarts or is overloaded is waited for, as by vicreg index add. vicreg index compact
returns the space to the disk. IDs that begin with a dash come after --.

--damaged removes what vicreg index check lists: items whose rows are damaged, and
damaged thumbnails of items, which themselves stay. Each is named, and what can still be
read of it is first appended to FILE.damaged.jsonl, a line each. It refuses a file whose
structure is damaged, where that could destroy sound items: restore a backup instead.`,
	})
	namespaceFlag(f, &r.namespace)
	f.BoolVar(&r.all, "all", false, "remove all items of --namespace, and thus the namespace")
	f.BoolVar(&r.damaged, "damaged", false, "remove all damaged items, of all namespaces")
	f.StringVar(&r.server, "server", "", "`URL` of the server that owns the index, instead of FILE")
	f.StringVar(&r.keyFile, "api-key-file", "", "`FILE` with the server's API key: its first line that is neither blank nor a # comment")
	if err := r.parse(f, args); err != nil {
		return err
	}
	if r.damaged {
		return r.removeDamaged(ctx, stdout, stderr)
	}
	from, leave, err := r.open(ctx, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	if err := r.settle(ctx, from); err != nil {
		return err
	}
	removed, err := from.remove(ctx, r.ids)
	if removed > 0 || err == nil {
		fmt.Fprintf(stdout, "removed %s of namespace %s from %s%s\n", usage.Count(removed, "item"), usage.Printable(r.namespace), usage.Printable(r.where()), others(len(r.ids)-removed, err))
	}
	return err
}

// others reports n items that somebody else removed meanwhile; after an error nothing is known
// about them.
func others(n int, err error) string {
	if n == 0 || err != nil {
		return ""
	}
	return fmt.Sprintf("; %d more had already been removed by others", n)
}

// where names the index, for display.
func (r *removing) where() string {
	if r.server != "" {
		return r.server
	}
	return r.file
}

// parse parses the arguments. Positional ones are FILE, unless there is a server, and any number
// of ids.
func (r *removing) parse(f *flag.FlagSet, args []string) error {
	const none = "\x00" // not possible as an argument
	given := slices.Repeat([]string{none}, len(args))
	places := make([]usage.Positional, len(args))
	for i := range places {
		places[i] = usage.Positional{Name: "[ID]", Value: &given[i]}
	}
	if err := usage.Parse(f, args, places...); err != nil {
		return err
	}
	given = slices.DeleteFunc(given, func(text string) bool { return text == none })
	if r.server == "" {
		if len(given) == 0 {
			return usage.Errorf("FILE or --server URL is missing")
		}
		r.file, given = given[0], given[1:]
	}
	slices.Sort(given)
	r.ids = slices.Compact(given)
	switch {
	case r.server == "" && r.keyFile != "":
		return usage.Errorf("--api-key-file requires --server")
	case r.damaged && (r.all || len(r.ids) > 0 || r.server != "" || usage.Given(f, "namespace")):
		return usage.Errorf("--damaged goes with FILE alone: it removes the damaged items of all namespaces")
	case r.damaged:
		return nil
	case r.all && len(r.ids) > 0:
		return usage.Errorf("--all removes all items: give either IDs or --all")
	case r.all && !usage.Given(f, "namespace"):
		return usage.Errorf("--all requires --namespace: name the namespace to empty, even if it is %s", index.DefaultNamespace)
	case !r.all && len(r.ids) == 0:
		return usage.Errorf("ID or --namespace NAME --all is missing, or --damaged")
	}
	for _, id := range r.ids {
		if err := index.CheckID(id); err != nil {
			return usage.Errorf("an ID %w", err)
		}
	}
	return checkNamespace(r.namespace)
}

// open opens the index; leave closes it.
func (r *removing) open(ctx context.Context, stderr io.Writer) (from emptied, leave func() error, err error) {
	if r.server != "" {
		c, err := newClient(r.server, r.keyFile, stderr)
		if err != nil {
			return nil, nil, err
		}
		to, err := connect(ctx, c, r.namespace)
		return to, func() error { return nil }, err
	}
	f, err := open(ctx, r.file, index.Options{}, stderr)
	if err != nil {
		return nil, nil, err
	}
	if err := inhabited(f, r.file, r.namespace); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &local{file: f, namespace: r.namespace}, f.Close, nil
}

// settle resolves --all, and rejects ids that do not exist.
func (r *removing) settle(ctx context.Context, from emptied) error {
	if r.all {
		there, err := from.known(ctx, func(int, int) {})
		if err == nil && len(there) == 0 {
			err = usage.Errorf("namespace %s of %s is empty", usage.Printable(r.namespace), usage.Printable(r.where()))
		}
		for id := range there {
			r.ids = append(r.ids, id)
		}
		slices.Sort(r.ids)
		return err
	}
	lacking, err := from.lacking(ctx, r.ids)
	if err != nil || len(lacking) == 0 {
		return err
	}
	const few = 5
	shown := make([]string, min(few, len(lacking)))
	for i := range shown {
		shown[i] = usage.Printable(lacking[i])
	}
	text := strings.Join(shown, ", ")
	if more := len(lacking) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return usage.Errorf("not in namespace %s of %s: %s; nothing was removed", usage.Printable(r.namespace), usage.Printable(r.where()), text)
}

func (l *local) lacking(_ context.Context, ids []string) (out []string, err error) {
	for _, id := range ids {
		if !l.file.Has(l.namespace, id) {
			out = append(out, id)
		}
	}
	return out, nil
}

func (r *remote) lacking(ctx context.Context, ids []string) (out []string, err error) {
	query := url.Values{"namespace": {r.namespace}}
	for _, id := range ids {
		err := r.ask(ctx, http.MethodGet, "items/"+url.PathEscape(id), query, nil, nil)
		var no *refusal
		switch {
		case errors.As(err, &no) && no.status == http.StatusNotFound:
			out = append(out, id)
		case errors.As(err, &no) && no.status == http.StatusInternalServerError: // a damaged item, which can be removed
		case err != nil:
			return nil, err
		}
	}
	return out, nil
}
