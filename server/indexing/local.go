package indexing

import (
	"context"
	"encoding/hex"
	"errors"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/index"
)

// local is an index file that this process owns.
type local struct {
	file      *index.File
	namespace string
	enc       *encoder.Encoder // nil if no image is added
	workers   int              // batches encoded at once
	limits    imaging.Limits   // of the images
}

// known reads the whole namespace.
func (l *local) known(ctx context.Context, progress func(done, total int)) (map[string]known, error) {
	all := map[string]known{}
	err := each(ctx, l.file, l.namespace, false, func(it index.Item, total int) error {
		k := known{metadata: it.Metadata, source: it.Source, pictured: it.Pictured}
		if len(it.Hash) == len(k.hash) {
			k.hash = bulk.Hash(it.Hash)
		}
		all[it.ID] = k
		progress(len(all), total)
		return nil
	})
	return all, err
}

// each calls do for every item of a namespace, without thumbnails, in the order in which their
// ids were first stored.
func each(ctx context.Context, f *index.File, namespace string, withVectors bool, do func(it index.Item, total int) error) error {
	l := index.Listing{Limit: 4096, Vectors: withVectors}
	for {
		page, err := f.List(ctx, namespace, l)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			if err := do(it, page.Total); err != nil {
				return err
			}
		}
		if l.After = page.Next; l.After == 0 {
			return nil
		}
	}
}

// images encodes what the plan needs, while another goroutine stores what is ready.
func (l *local) images(ctx context.Context, set *dataset.Set, p *plan, done func()) error {
	return sideBySide(ctx, func(ctx context.Context, send func(pending) error) error {
		return l.encode(ctx, set, p, send, done)
	}, func(ctx context.Context, batch []pending) error {
		defer done()
		return p.store(ctx, l, batch)
	})
}

// encode sends the entries that are to be stored.
func (l *local) encode(ctx context.Context, set *dataset.Set, p *plan, send func(pending) error, done func()) error {
	want := func(i int, hash bulk.Hash) bool {
		a := p.addition(set, i)
		d := p.judge(a, hash)
		switch {
		case p.left(d, a), p.unfit(a):
			done()
		case d == describe: // its vector and thumbnail are in the index
			// An error means that ctx has ended, which ends everything.
			_ = send(pending{describe, entry{ID: a.id, Metadata: p.metadata(a), Source: a.source, Hash: hex.EncodeToString(hash[:]), keep: true}})
		default:
			return true
		}
		return false
	}
	bad, err := bulk.Images(ctx, l.enc, l.workers, l.limits, set, want, func(m bulk.Image) error {
		a := p.addition(set, m.Index)
		d := p.judge(a, m.Hash)
		if p.left(d, a) { // the file that holds the id has come back
			return nil
		}
		return send(pending{d, entry{ID: a.id, Vector: m.Vector, Metadata: p.metadata(a), Source: a.source,
			Hash: hex.EncodeToString(m.Hash[:]), thumbnail: m.Thumbnail}})
	})
	if err != nil {
		return err
	}
	for _, b := range bad {
		p.refuse(p.prefix+b.Key, b.Reason)
	}
	return nil
}

// put stores entries. One without a vector keeps the item's vector.
func (l *local) put(ctx context.Context, entries []entry) (bad []string, err error) {
	bad = make([]string, len(entries))
	items := make([]index.Item, 0, len(entries))
	for i, e := range entries {
		it := index.Item{ID: e.ID, Vector: e.Vector, Metadata: e.Metadata, Source: e.Source, Thumbnail: e.thumbnail}
		if hash, ok := hashOf(e.Hash); ok {
			it.Hash = hash[:]
		}
		if e.keep {
			if err := l.complete(ctx, &it); err != nil {
				return nil, err
			}
		}
		if err := l.file.Check(it); err != nil {
			bad[i] = err.Error()
			continue
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return bad, nil
	}
	_, err = l.file.Upsert(ctx, l.namespace, items...)
	return bad, err
}

// complete adds the thumbnail of the stored item, and its vector if there is none.
func (l *local) complete(ctx context.Context, it *index.Item) (err error) {
	if it.Vector == nil {
		if it.Vector, err = l.vector(ctx, it.ID); err != nil {
			return err
		}
	}
	it.Thumbnail, err = l.file.Thumbnail(ctx, l.namespace, it.ID)
	if errors.Is(err, index.ErrUnknown) {
		return nil
	}
	return err
}

func (l *local) vector(ctx context.Context, id string) ([]float32, error) {
	it, err := l.file.Get(ctx, l.namespace, id)
	if err != nil {
		return nil, err
	}
	return it.Vector, nil
}

func (l *local) remove(ctx context.Context, ids []string) (removed int, err error) {
	there, err := l.file.Delete(ctx, l.namespace, ids...)
	for _, was := range there {
		if was {
			removed++
		}
	}
	return removed, err
}

func (l *local) space() index.Binding { return l.file.Binding() }

// Close closes the file and the model.
func (l *local) Close() error {
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.enc != nil {
		errs = append(errs, l.enc.Close())
	}
	return errors.Join(errs...)
}
