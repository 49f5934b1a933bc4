package items

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"vicreg/pipeline/imaging"
	"vicreg/server/index"
	"vicreg/server/request"
)

// refill rebuilds an index for the model in service: each item is embedded again from its source
// file into a second index file, which then replaces the first. Nothing can be stored in the first
// meanwhile, so the copy is complete, except for deletions along the way.
type refill struct {
	s           *Shelf
	m           Model
	turns       *turns
	from, to    *index.File
	done, total atomic.Int64
	missing     unmade
	prober      imaging.Prober
}

// refillPage is the number of items that a rebuild lists at a time.
const refillPage = 1000

// refillAgain is the interval at which a finished rebuild that is blocked by a reader of the file
// retries to replace it.
const refillAgain = 10 * time.Second

// refill runs until the index fits m, the rebuild fails, or ctx ends.
func (s *Shelf) refill(ctx context.Context, m Model) {
	begin := time.Now()
	ctx = request.WithID(ctx, "rebuild")
	r := &refill{s: s, m: m, turns: newTurns(m, s.config.Deadline, s.log, s.retries), from: s.keeper.file}
	s.SetRebuild(func() (done, total int) { return int(r.done.Load()), int(r.total.Load()) })
	err := r.run(ctx)
	for errors.Is(err, index.ErrInUse) { // another process is reading the file; what has been made is kept
		s.log.Warn("rebuild finished; waiting to replace the index file (another process has it open)", "error", err)
		if err = pause(ctx, refillAgain); err == nil {
			r.done.Store(0)
			err = r.run(ctx)
		}
	}
	s.SetRebuild(nil)
	switch {
	case err == nil:
		s.log.Info("the index matches the model", "fingerprint", m.Fingerprint(), "items", s.keeper.file.Len(), "seconds", time.Since(begin).Seconds())
	case ctx.Err() == nil:
		s.fail(err)
		s.log.Error("cannot rebuild the index", "error", err)
	}
}

func (r *refill) run(ctx context.Context) (err error) {
	if r.to, err = r.open(ctx); err != nil {
		return err
	}
	r.total.Store(int64(r.from.Len()))
	for i, pass := range []func(ctx context.Context, namespace string, items []index.Item) error{r.look, r.make} {
		for _, ns := range r.from.Namespaces() {
			if err = r.namespace(ctx, ns.Name, pass); err != nil {
				return errors.Join(err, r.to.Close())
			}
		}
		for _, d := range r.from.Damaged() {
			r.miss(d.Namespace, index.Item{ID: d.ID}, &d)
		}
		if r.missing.items > 0 {
			missing := r.missing // the error is kept, the rest of r is not
			missing.early = i == 0
			return errors.Join(&missing, r.to.Close())
		}
	}
	return r.from.Replace(ctx, r.to)
}

// open resumes an earlier rebuild for the same model, or begins a new one.
func (r *refill) open(ctx context.Context) (*index.File, error) {
	path := r.from.Path() + ".rebuild"
	o := index.Options{Binding: bindingOf(r.m), Create: true}
	f, err := index.Open(ctx, path, o)
	if !errors.Is(err, index.ErrModel) {
		return f, err
	}
	if err := index.Remove(path); err != nil { // a rebuild for a model that is no longer in service
		return nil, err
	}
	return index.Open(ctx, path, o)
}

// namespace passes the items of a namespace to pass, page by page.
func (r *refill) namespace(ctx context.Context, name string, pass func(context.Context, string, []index.Item) error) error {
	for l := (index.Listing{Limit: refillPage}); ; {
		page, err := r.from.List(ctx, name, l)
		if err != nil {
			return err
		}
		if err := pass(ctx, name, page.Items); err != nil {
			return err
		}
		if l.After = page.Next; page.Next == 0 {
			return nil
		}
	}
}

// look finds items that cannot be rebuilt before any time is spent on the others. It reads only the
// headers of their files.
func (r *refill) look(ctx context.Context, name string, items []index.Item) error {
	for _, item := range items {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.fits(item); err != nil {
			r.miss(name, item, err)
		}
	}
	return nil
}

// fits reports why an item's file cannot be used, as far as its header shows.
func (r *refill) fits(item index.Item) error {
	size, err := r.there(item)
	if err != nil {
		return err
	}
	f, err := os.Open(item.Source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := r.prober.Probe(f, size)
	if err != nil {
		return fmt.Errorf("%s: %w", item.Source, err)
	}
	limits := r.s.config.Limits
	limits.TIFF = true
	if err := limits.Check(info); err != nil {
		return fmt.Errorf("%s: %w; raise it with --max-pixels", item.Source, err)
	}
	return nil
}

// make rebuilds items in small groups.
func (r *refill) make(ctx context.Context, name string, items []index.Item) error {
	for few := range slices.Chunk(items, turnsAtOnce) {
		if err := r.few(ctx, name, few); err != nil {
			return err
		}
		r.done.Add(int64(len(few)))
	}
	return nil
}

// few rebuilds items, skipping those that are already in the new index.
func (r *refill) few(ctx context.Context, name string, items []index.Item) error {
	var todo []index.Item
	var images []request.Image
	for _, item := range items {
		if old, err := r.to.Get(ctx, name, item.ID); err == nil && bytes.Equal(old.Hash, item.Hash) && bytes.Equal(old.Metadata, item.Metadata) && old.Source == item.Source {
			continue
		}
		file, err := r.original(item)
		if err != nil {
			r.miss(name, item, err)
			continue
		}
		todo, images = append(todo, item), append(images, request.Image{File: file, Local: true})
	}
	if len(todo) == 0 {
		return nil
	}
	result, err := r.turns.embed(ctx, images)
	if err != nil {
		return err
	}
	made := todo[:0]
	for i, item := range todo {
		if item.Vector, item.Thumbnail = result.Rows[i].Vector, result.Thumbs[i]; result.Rows[i].Err != nil {
			r.miss(name, item, result.Rows[i].Err)
		} else if err := r.to.Check(item); err != nil {
			r.miss(name, item, err)
		} else {
			made = append(made, item)
		}
	}
	_, err = r.to.Upsert(ctx, name, made...)
	return err
}

// there returns the size of an item's source file. Since a client supplied the path, anything but a
// regular file within the server's size limit is refused; original takes only the bytes that the
// client had the hash of.
func (r *refill) there(item index.Item) (size int64, err error) {
	if err := item.Remakable(); err != nil {
		return 0, err
	}
	info, err := os.Stat(item.Source)
	switch {
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is not a regular file", item.Source)
	case info.Size() > r.s.config.MaxBody:
		return 0, fmt.Errorf("%s has %d bytes, more than the %d allowed for a request; raise it with --max-body", item.Source, info.Size(), r.s.config.MaxBody)
	}
	return info.Size(), nil
}

// original reads an item's source file and checks that it is unchanged.
func (r *refill) original(item index.Item) ([]byte, error) {
	size, err := r.there(item)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(item.Source)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, size+1)) // the file may have grown
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(file); !bytes.Equal(sum[:], item.Hash) {
		return nil, fmt.Errorf("%s has changed since it was indexed", item.Source)
	}
	return file, nil
}
