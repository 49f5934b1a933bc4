package dataset

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// walk goes through the folders of a tree and reads those that have changed.
type walk struct {
	ctx  context.Context
	root string
	now  time.Time

	known map[string]part     // folders of the index, by name
	below map[string][]string // their sub-folders

	parts []part          // as they are now
	kept  map[string]bool // those of known that have not changed
	fresh builder         // pictures of the others, names only

	others map[string]int // files that are no pictures, by ending

	trail trail // to the folder that is visited
}

func newWalk(ctx context.Context, root string, known []part) *walk {
	w := &walk{ctx: ctx, root: root, now: time.Now(), known: map[string]part{}, below: map[string][]string{}, kept: map[string]bool{}, others: map[string]int{}}
	for _, p := range known {
		w.known[p.name] = p
		if p.name != "" {
			parent := parentOf(p.name)
			w.below[parent] = append(w.below[parent], p.name)
		}
	}
	return w
}

// parentOf is the folder of a key or of a folder, "" for the root.
func parentOf(name string) string {
	at := strings.LastIndexByte(name, '/')
	return name[:max(at, 0)]
}

// folder visits a folder, or one that a link leads to, and all below it. The pictures
// of a tree that is read whole come in the order of their keys.
func (w *walk) folder(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	full := filepath.Join(w.root, filepath.FromSlash(name))
	info, err := os.Lstat(full)
	link := name != "" && err == nil && info.Mode()&fs.ModeSymlink != 0
	if link {
		if info, err = os.Stat(full); err != nil && fatal(err) == nil {
			w.lost(name)
			return nil
		}
	}
	if name != "" && (errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir()) {
		return nil // it was there a moment ago
	}
	if err != nil {
		return err
	}
	inner := w.trail.to(name, info, link)
	if err := inner.circle(); err != nil {
		return err
	}
	outer := w.trail
	w.trail = inner
	defer func() { w.trail = outer }()
	now := stateOf(name, info, w.now)
	w.parts = append(w.parts, now)
	if known, ok := w.known[name]; ok && known.holds(now) {
		return w.keep(name)
	}
	return w.read(name, full)
}

// keep takes a folder as it is known, and visits those in it.
func (w *walk) keep(name string) error {
	w.kept[name] = true
	for _, sub := range w.below[name] {
		if err := w.folder(sub); err != nil {
			return err
		}
	}
	return nil
}

// read takes in a folder in the order that the keys of its pictures have.
func (w *walk) read(name, full string) error {
	entries, lost, err := namesIn(full, w.others)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if sub, isFolder := strings.CutSuffix(e, "/"); isFolder {
			if err := w.folder(path.Join(name, sub)); err != nil {
				return err
			}
			continue
		}
		if name != "" {
			e = name + "/" + e
		}
		w.fresh.name(e)
	}
	for _, l := range lost {
		w.lost(path.Join(name, l))
	}
	return nil
}

// lost takes in a link that leads to nothing and may stand for a folder. It counts as
// a picture, which is bad when it is read, unless its name is that of another file.
// Whether it leads somewhere again, the folder that it lies in does not tell: that
// one is read each time.
func (w *walk) lost(key string) {
	if path.Ext(key) == "" {
		w.fresh.name(key)
	}
	for i := len(w.parts) - 1; i >= 0; i-- {
		if w.parts[i].name == parentOf(key) {
			w.parts[i].modified = unsettled
			return
		}
	}
}

// refreshTree is the index of a tree as it is now, made from an older one, which
// may be of nothing. changed is false when the older one still holds.
func refreshTree(x *indexing, old *listing) (now *listing, changed bool, err error) {
	w := newWalk(x.ctx, x.source.root, old.parts)
	if err := w.folder(""); err != nil {
		return nil, false, err
	}
	x.others = w.others
	if len(w.kept) == len(old.parts) && len(w.parts) == len(old.parts) {
		return old, false, nil
	}
	fresh, err := w.fresh.finish()
	if err == nil {
		fresh, err = fresh.sorted(nil)
	}
	if err == nil {
		err = x.visit(fresh, old.table)
	}
	if err != nil {
		return nil, false, err
	}
	joined, err := merge(old.table, func(row int) bool { return w.kept[parentOf(old.table.key(row))] }, fresh)
	return &listing{parts: w.parts, table: joined}, true, err
}
