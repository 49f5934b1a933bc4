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

// walk traverses the folders of a tree and reads those that have changed.
type walk struct {
	ctx  context.Context
	root string
	now  time.Time

	known map[string]part     // folders of the old index, by name
	below map[string][]string // their sub-folders

	parts []part          // their current state
	kept  map[string]bool // unchanged ones of known
	fresh builder         // images of the changed folders, names only

	others map[string]int // files that are not images, by ending

	trail trail // to the folder being visited
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

// parentOf returns the folder of a key or of a folder, "" for the root.
func parentOf(name string) string {
	at := strings.LastIndexByte(name, '/')
	return name[:max(at, 0)]
}

// folder visits a folder, or one that a link leads to, and everything below it. If a whole tree is
// read, its images come in key order.
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

// keep reuses a folder's known entries, and visits its subfolders.
func (w *walk) keep(name string) error {
	w.kept[name] = true
	for _, sub := range w.below[name] {
		if err := w.folder(sub); err != nil {
			return err
		}
	}
	return nil
}

// read reads a folder's entries in key order.
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

// lost records a dangling link that may stand for a folder. It counts as an image, which is bad
// when read, unless it has another file's extension. Its folder does not show when the link is
// mended, so that folder is marked to be read each time.
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

// refreshTree returns the current index of a tree, derived from an older one, which may be empty.
// changed is false if the older one still holds.
func refreshTree(x *indexing, old *listing) (now *listing, changed bool, err error) {
	w := newWalk(x.ctx, x.source.root, old.parts)
	if err := w.folder(""); err != nil {
		return nil, false, err
	}
	x.others = others{w.others, len(w.kept) > 0}
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
