package indexing

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
	"vicreg/server/index"
)

// findVectors looks at a file of vectors.
func findVectors(name string) (*origin, error) {
	info, err := vectors.ReadInfo(name)
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	seen := map[string]bool{}
	err = vectors.Read(name, info, func(r vectors.Row) error {
		if seen[r.Path] {
			return fmt.Errorf("%s has two vectors of %s", name, r.Path)
		}
		seen[r.Path] = true
		return nil
	})
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	ids := func(yield func(string) bool) {
		for id := range seen {
			if !yield(id) {
				return
			}
		}
	}
	add := func(ctx context.Context, to target, p *plan, done func()) error {
		return addVectors(ctx, name, info, to, p, done)
	}
	return &origin{n: info.Count, ids: ids, add: add, info: &info}, nil
}

// fits reports vectors that have no place beside others, those of where.
func (o *origin) fits(b index.Binding, centered bool, where string) error {
	switch {
	case o.info == nil:
		return nil
	case o.info.Fingerprint != b.Fingerprint || o.info.Dim != b.Dim:
		return usage.Errorf("the vectors are of model %s, those of %s of %s", o.info.Fingerprint, where, b.Fingerprint)
	case o.info.Normalized && centered:
		return usage.Errorf("the vectors were written with --normalize, and the index subtracts the model's mean first, which cannot be done any more: embed the images again without it")
	}
	return nil
}

// addVectors does what the plan says of the vectors of a file, a batch at a time.
func addVectors(ctx context.Context, name string, info vectors.Info, to target, p *plan, done func()) error {
	var batch []pending
	flush := func() error {
		err := p.store(ctx, to, batch)
		batch = batch[:0]
		done()
		return err
	}
	err := vectors.Read(name, info, func(r vectors.Row) error {
		a := addition{id: r.Path, source: r.Source, own: r.Metadata}
		if a.source == "" {
			a.source = r.Path
		}
		do, err := p.judgeVector(ctx, to, a, r)
		if err != nil {
			return err
		}
		if do == leave {
			p.did(leave, 1)
			return nil
		}
		batch = append(batch, pending{do, entry{ID: a.id, Vector: r.Embedding, Metadata: p.metadata(a), Source: a.source, Hash: r.Hash}})
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

// judgeVector is judge for a vector: without hashes to go by, those that are there are
// compared number by number.
func (p *plan) judgeVector(ctx context.Context, to target, a addition, r vectors.Row) (deed, error) {
	k, was := p.known[a.id]
	hash, ok := hashOf(r.Hash)
	if !was || ok && k.hash != hash {
		return p.judge(a, hash), nil
	}
	v, err := to.vector(ctx, a.id)
	if err != nil || !slices.Equal(v, r.Embedding) {
		return replace, err
	}
	return p.judge(a, k.hash), nil
}

// hashOf reads the hexadecimal digits of a hash.
func hashOf(digits string) (hash bulk.Hash, ok bool) {
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(hash) {
		return hash, false
	}
	return bulk.Hash(b), true
}
