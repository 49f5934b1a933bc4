package index

import (
	"context"
	"errors"
	"fmt"

	"vicreg/server/index/filter"
	"vicreg/server/index/store"
)

// Report is what Survey finds.
type Report = store.Report

// withStore calls do with the database at path. It does not load the items.
func withStore(ctx context.Context, path string, o store.Options, do func(db *store.Store) error) error {
	db, err := store.Open(ctx, path, o)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// Survey reads the whole file at path, row by row, and returns everything in it that is not as it
// was written. The error is for what cannot be read at all.
func Survey(ctx context.Context, path string, progress func(done, total int)) (r *Report, err error) {
	err = withStore(ctx, path, store.Options{ReadOnly: true}, func(db *store.Store) error {
		r, err = survey(ctx, db, progress)
		return err
	})
	return r, err
}

func survey(ctx context.Context, db *store.Store, progress func(done, total int)) (*Report, error) {
	binding := Binding(db.About())
	unit := make([]float32, binding.Dim)
	count := counter(ctx, db, progress)
	var bad []Damage
	r, err := db.Survey(ctx, func(r *store.Row) error {
		count()
		err := binding.unitOf(unit, r.Vector)
		if err == nil {
			err = filter.CheckMetadata(r.Metadata)
		}
		if err != nil {
			bad = append(bad, *faulty(r, err))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Rows -= len(bad)
	r.Damaged = append(bad, r.Damaged...)
	return r, nil
}

// counter returns a function that counts rows, and reports progress now and then.
func counter(ctx context.Context, db *store.Store, progress func(done, total int)) func() {
	total, _ := db.Rows(ctx) // for display only
	done := 0
	return func() {
		if done++; done%progressEvery == 0 && progress != nil {
			progress(done, total)
		}
	}
}

// Description is what can be said of a file without its vectors in memory.
type Description struct {
	Binding    Binding
	Stats      Stats // Memory is what it takes to have the file open
	Namespaces []NamespaceInfo
	Damaged    []Damage
}

// Describe reads the file at path and describes it.
func Describe(ctx context.Context, path string, progress func(done, total int)) (*Description, error) {
	st, err := load(ctx, path, Options{ReadOnly: true, Threads: 1, Progress: progress, bare: true})
	if err != nil {
		return nil, err
	}
	f := &File{path: path, state: st}
	d := &Description{st.binding, f.Stats(), f.Namespaces(), f.Damaged()}
	for _, name := range st.sorted() {
		for _, p := range st.collection(name).snapshot().parts { // all are full or being filled
			d.Stats.Memory += int64(len(p.keys)) * 5 * int64(st.binding.Dim) // the vectors and codes that it lacks
		}
	}
	return d, st.db.Close()
}

// Backup copies the file at path to another, which must not exist, as of one moment. Damaged rows
// are copied as they are; those that there are in the file are returned.
func Backup(ctx context.Context, path, to string, progress func(done, total int)) (bad []Damage, err error) {
	err = withStore(ctx, path, store.Options{ReadOnly: true}, func(db *store.Store) error {
		if err := db.Backup(ctx, to); err != nil {
			return err
		}
		count := counter(ctx, db, progress)
		bad, err = db.Load(ctx, func(*store.Row) error { count(); return nil })
		if err != nil {
			return fmt.Errorf("%s is written, but: %w", to, err)
		}
		return nil
	})
	return bad, err
}

// Discard removes all damaged rows and thumbnails of the file at path, which nobody else may own.
// Before each, it calls keep with what can still be read of it, by column; removed are those that
// it has removed, and left is why others could not be. Nothing is removed from a file with damaged
// pages, where that could destroy sound items.
func Discard(ctx context.Context, path string, progress func(done, total int), keep func(d Damage, remains map[string]any) error) (removed []Damage, left []error, err error) {
	err = withStore(ctx, path, store.Options{}, func(db *store.Store) error {
		r, err := survey(ctx, db, progress)
		if err != nil {
			return err
		}
		if r.Unsound {
			return fmt.Errorf("%w in its structure, so that removing an item could destroy others: %s", ErrDamaged, startOver)
		}
		for _, d := range r.Damaged {
			remains, err := db.Remains(ctx, d)
			if err == nil {
				err = keep(d, remains)
			}
			if err != nil {
				return err
			}
			if err = db.Discard(ctx, d); errors.Is(err, ErrDamaged) {
				left = append(left, fmt.Errorf("%q in namespace %q: %w", d.ID, d.Namespace, err))
				continue
			} else if err != nil {
				return err
			}
			removed = append(removed, d)
		}
		if len(removed) == 0 {
			return nil
		}
		return settled(ctx, db, len(left) == 0)
	})
	return removed, left, err
}

// startOver is what to do with a file that cannot be mended.
const startOver = "restore a backup with vicreg index restore, or index the images anew"

// settled checks what SQLite has made of a file from which damaged rows were removed. Those that
// could not be may be missing from its index of ids.
func settled(ctx context.Context, db *store.Store, all bool) error {
	r, err := db.CheckStructure(ctx)
	if err == nil && (r.Unsound || all && len(r.Other) > 0) {
		err = fmt.Errorf("%w beyond its damaged items (%s): %s", ErrDamaged, r.Other[0], startOver)
	}
	return err
}
