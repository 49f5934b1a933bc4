package indexing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// rebuilding is a rebuild under way.
type rebuilding struct {
	path, model    string
	dropMissing    bool
	foreign        encoder.Flags
	files          bulk.Files
	machine        bulk.Machine
	stdout, stderr io.Writer

	enc       *encoder.Encoder
	old, next *index.File

	mu      sync.Mutex
	todo    map[string][]member // by source
	done, n int
	missing []dataset.Bad // items that cannot be rebuilt
}

// member is an item of a namespace.
type member struct {
	namespace string
	index.Item
}

func runRebuild(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	r := &rebuilding{stdout: stdout, stderr: stderr, todo: map[string][]member{}}
	fs := usage.Flags(stdout, usage.Text{
		Name:     "index rebuild",
		Purpose:  "Recompute all vectors of an index with another model, from the original image files.",
		Synopsis: "FILE --model FILE [flags]",
		Examples: []string{"vicreg index rebuild photos.index --model better.onnx"},
		Notes: `An index does not store images. Each item's file must still be on this disk, in the same
place with the same bytes; shard members are read from their shards. The new index is built
in FILE.rebuild: to continue after an interruption, run the same command again. FILE stays
unchanged until the new index is complete, and is then replaced atomically.

FILE is not replaced as long as some items cannot be remade: those stored as vectors,
those sent to a server (PUT or POST) without an absolute path, those whose files have
changed or disappeared, and those that are damaged. They are listed. Leave them out with
--drop-missing, or send their images again once FILE is rebuilt.`,
	})
	fs.StringVar(&r.model, "model", "", "exported model `FILE` of the new model")
	fs.BoolVar(&r.dropMissing, "drop-missing", false, "drop items that cannot be recomputed")
	r.foreign.Register(fs)
	r.files.Register(fs)
	r.machine.Register(fs)
	if err := usage.Parse(fs, args, usage.Positional{Name: "FILE", Value: &r.path}); err != nil {
		return err
	}
	if err := errors.Join(usage.Require(fs, "model"), r.foreign.Validate(), r.files.Validate(), r.machine.Validate()); err != nil {
		return err
	}
	return r.run(ctx)
}

func (r *rebuilding) run(ctx context.Context) (err error) {
	lib, err := r.machine.Open()
	if err != nil {
		return err
	}
	if r.enc, err = r.foreign.Open(lib, r.model, r.machine.Session()); err != nil {
		return &usage.Error{Err: err}
	}
	defer func() { err = errors.Join(err, r.enc.Close()) }()
	if r.old, err = open(ctx, r.path, index.Options{}, r.stderr); err != nil {
		return alone(err, "if it is a server, stop that first, or start it with the new model and --rebuild")
	}
	defer func() { err = errors.Join(err, r.old.Close()) }()
	if r.old.Binding().Fingerprint == r.enc.Fingerprint() {
		return usage.Errorf("%s already has the vectors of this model, %s", usage.Printable(r.path), r.enc.Fingerprint())
	}
	if r.next, err = open(ctx, r.path+".rebuild", index.Options{Binding: bindingOf(r.enc), Create: true}, r.stderr); errors.Is(err, index.ErrModel) {
		return usage.Errorf("%s was started with another model; remove it to start over", usage.Printable(r.path+".rebuild"))
	} else if err != nil {
		return alone(err, "another rebuild is in progress")
	}
	defer func() { err = errors.Join(err, r.next.Close()) }()
	if err := r.plan(ctx); err != nil {
		return err
	}
	if err := r.encode(ctx); err != nil {
		return err
	}
	return r.finish(ctx)
}

// plan determines what remains to be done.
func (r *rebuilding) plan(ctx context.Context) error {
	for _, ns := range r.old.Namespaces() {
		there, err := (&local{file: r.next, namespace: ns.Name}).known(ctx, func(int, int) {})
		if err != nil {
			return err
		}
		err = each(ctx, r.old, ns.Name, false, func(it index.Item, _ int) error {
			k, made := there[it.ID]
			switch why := it.Remakable(); {
			case why != nil:
				r.miss(member{ns.Name, it}, why.Error())
			case made && k.hash == bulk.Hash(it.Hash) && k.source == it.Source && same(k.metadata, it.Metadata):
				r.done++
			default:
				r.todo[it.Source] = append(r.todo[it.Source], member{ns.Name, it})
				r.n++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, d := range r.old.Damaged() {
		r.miss(member{d.Namespace, index.Item{ID: d.ID}}, "its row "+d.Reason)
	}
	r.n += r.done
	return nil
}

// miss records an item that cannot be rebuilt.
func (r *rebuilding) miss(m member, why string) {
	name := m.ID
	if m.namespace != index.DefaultNamespace {
		name += " in namespace " + m.namespace
	}
	r.mu.Lock()
	r.missing = append(r.missing, dataset.Bad{Key: name, Reason: why})
	r.mu.Unlock()
}

// encode computes the vectors and stores them in the next index.
func (r *rebuilding) encode(ctx context.Context) error {
	if r.done > 0 {
		fmt.Fprintf(r.stderr, "continuing after %d of %d items\n", r.done, r.n)
	}
	line, begin, before := bulk.NewLine(r.stderr), time.Now(), r.done
	defer line.Clear()
	sets, err := r.sets(ctx)
	if err != nil {
		return err
	}
	return sideBySide(ctx, func(ctx context.Context, send func(member) error) error {
		for _, set := range sets {
			if err := r.images(ctx, set, send); err != nil {
				return err
			}
		}
		return nil
	}, func(ctx context.Context, batch []member) error {
		if err := r.store(ctx, batch); err != nil {
			return err
		}
		r.mu.Lock()
		r.done += len(batch)
		now := r.done
		r.mu.Unlock()
		line.Show(func() string { return bulk.Rate("recomputed", now, r.n, before, begin) })
		return nil
	})
}

// images encodes the images of a set that items came from.
func (r *rebuilding) images(ctx context.Context, set *dataset.Set, send func(member) error) error {
	want := func(i int, hash bulk.Hash) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range r.todo[set.Path(i)] {
			if bulk.Hash(m.Hash) == hash {
				return true
			}
		}
		return false
	}
	bad, err := bulk.Images(ctx, r.enc, r.machine.Workers(), r.files.Limits(), set, want, func(m bulk.Image) error {
		for _, it := range r.take(set.Path(m.Index), m.Hash) {
			it.Vector, it.Thumbnail = m.Vector, m.Thumbnail
			if err := r.next.Check(it.Item); err != nil {
				r.miss(it, err.Error())
			} else if err := send(it); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	reasons := map[string]string{}
	for _, b := range bad {
		reasons[b.Key] = b.Reason
	}
	for i := range set.Len() {
		why := reasons[set.Key(i)]
		if why == "" {
			why = "its file has changed since it was indexed"
		}
		r.drop(set.Path(i), why)
	}
	return nil
}

// take removes from todo the items of a source that were stored with this hash, and returns them.
func (r *rebuilding) take(source string, hash bulk.Hash) (taken []member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []member
	for _, m := range r.todo[source] {
		if bulk.Hash(m.Hash) == hash {
			taken = append(taken, m)
		} else {
			left = append(left, m)
		}
	}
	r.todo[source] = left
	return taken
}

// drop gives up the remaining items of a source.
func (r *rebuilding) drop(source, why string) {
	r.mu.Lock()
	left := r.todo[source]
	delete(r.todo, source)
	r.mu.Unlock()
	for _, m := range left {
		r.miss(m, why)
	}
}

// store puts items into the next index, with one call per namespace.
func (r *rebuilding) store(ctx context.Context, batch []member) error {
	by := map[string][]index.Item{}
	for _, m := range batch {
		by[m.namespace] = append(by[m.namespace], m.Item)
	}
	for namespace, items := range by {
		if _, err := r.next.Upsert(ctx, namespace, items...); err != nil {
			return err
		}
	}
	return nil
}

// finish replaces the old index by the next one, if nothing is missing or missing items are
// dropped.
func (r *rebuilding) finish(ctx context.Context) error {
	some(r.stdout, "missing", len(r.missing), func(i int) string { return told(r.missing[i], ": ") })
	if n := len(r.missing); n > 0 && !r.dropMissing {
		return fmt.Errorf("%s cannot be recomputed, so %s stays unchanged; --drop-missing drops them", usage.Count(n, "item"), usage.Printable(r.path))
	}
	if r.done == 0 {
		return errors.New("no item can be recomputed: nothing would be left")
	}
	was := r.old.Binding().Fingerprint
	if err := r.old.Replace(ctx, r.next); err != nil {
		return err
	}
	_, err := fmt.Fprintf(r.stdout, "rebuilt %s of %s with model %s (before: %s); %d dropped\n",
		usage.Count(r.old.Len(), "item"), usage.Printable(r.path), r.enc.Fingerprint(), was, len(r.missing))
	return err
}
