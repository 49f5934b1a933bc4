package indexing

import (
	"context"
	"encoding/hex"
	"fmt"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
	"vicreg/server/index"
)

// findVectors inspects a file of vectors, whose ids get the prefix.
func findVectors(name, prefix string) (*origin, error) {
	info, err := vectors.ReadInfo(name)
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	seen := map[string]bool{}
	err = vectors.Read(name, info, func(r vectors.Row) error {
		if seen[r.Path] {
			return fmt.Errorf("%s has two vectors for %s", usage.Printable(name), usage.Printable(r.Path))
		}
		seen[r.Path] = true
		return nil
	})
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	ids := func(yield func(string) bool) {
		for id := range seen {
			if !yield(prefix + id) {
				return
			}
		}
	}
	add := func(ctx context.Context, to target, p *plan, done func()) error {
		return addVectors(ctx, name, info, to, p, done)
	}
	return &origin{n: info.Count, ids: ids, add: add, info: &info}, nil
}

// fits rejects vectors that cannot be compared with those of where.
func (o *origin) fits(b index.Binding, centered bool, where string) error {
	switch {
	case o.info == nil:
		return nil
	case o.info.Fingerprint != b.Fingerprint || o.info.Dim != b.Dim:
		return usage.Errorf("the vectors are from model %s, but those of %s are from %s", o.info.Fingerprint, usage.Printable(where), b.Fingerprint)
	case o.info.Centered:
		return usage.Errorf("the vectors were written with --center, but the index itself subtracts the model's mean: write them without --center")
	case o.info.Normalized && centered:
		return usage.Errorf("the vectors were written with --normalize: %w", index.ErrNormalized)
	}
	return nil
}

// addVectors carries out the plan for the vectors of a file, one batch at a time.
func addVectors(ctx context.Context, name string, info vectors.Info, to target, p *plan, done func()) error {
	var batch []pending
	flush := func() error {
		err := p.store(ctx, to, batch)
		batch = batch[:0]
		done()
		return err
	}
	err := vectors.Read(name, info, func(r vectors.Row) error {
		do, e, err := p.judgeVector(ctx, to, r)
		if err != nil {
			return err
		}
		if do == leave || do == hold {
			return nil
		}
		batch = append(batch, pending{do, e})
		if len(batch) == batchItems {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// judgeVector is judge for a row of a file of vectors, and also returns the entry to store. If
// the file does not give a source or hash, the item keeps its own, except for the hash if the
// vector differs, as it belongs to another file then. The thumbnail is kept as long as the vector
// or the hash is the same.
func (p *plan) judgeVector(ctx context.Context, to target, r vectors.Row) (deed, entry, error) {
	a := addition{id: p.prefix + r.Path, source: r.Source, own: r.Metadata}
	if p.space.Normalized(r.Embedding) { // normalised by another tool than the one that wrote the file
		p.refuse(a.id, "its vector has length 1: "+index.ErrNormalized.Error())
		return hold, entry{}, nil
	}
	k, was := p.known[a.id]
	e := entry{ID: a.id, Vector: r.Embedding, Metadata: p.metadata(a), Source: a.source}
	hash, told := hashOf(r.Hash)
	if told {
		e.Hash = hex.EncodeToString(hash[:])
	}
	if !was {
		if e.Source == "" {
			e.Source = r.Path
		}
		return insert, e, nil
	}
	v, err := to.vector(ctx, a.id)
	if err != nil {
		return leave, entry{}, err
	}
	if a.source == "" {
		e.Source = k.source
	}
	equal := sameVector(v, r.Embedding)
	e.keep = k.pictured && (equal || told && hash == k.hash)
	if equal && !told && k.hash != (bulk.Hash{}) {
		hash, e.Hash = k.hash, hex.EncodeToString(k.hash[:])
	}
	do := leave
	switch {
	case !equal && p.belongs(k, a):
		do = hold
	case !equal:
		do = replace
	case hash != k.hash || e.Source != k.source || !same(e.Metadata, k.metadata):
		do, e.Vector = describe, v
	}
	p.left(do, a)
	return do, e, nil
}

// rounding is the largest distance, relative to their length, between two vectors of one image
// that were computed with different batch sizes or numbers of threads.
const rounding = 1e-4

// sameVector reports whether two vectors are of the same image.
func sameVector(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	var apart, length float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		apart += d * d
		length += float64(x) * float64(x)
	}
	return apart <= rounding*rounding*length
}

// hashOf decodes a hexadecimal hash.
func hashOf(digits string) (hash bulk.Hash, ok bool) {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(hash) {
		return hash, false
	}
	return bulk.Hash(b), true
}
