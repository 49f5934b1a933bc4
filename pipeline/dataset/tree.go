package dataset

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
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
}

func newWalk(ctx context.Context, root string, known []part) *walk {
	w := &walk{ctx: ctx, root: root, now: time.Now(), known: map[string]part{}, below: map[string][]string{}, kept: map[string]bool{}}
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

// folder visits a folder and all below it. The pictures of a tree that is read
// whole come in the order of their keys.
func (w *walk) folder(name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	full := filepath.Join(w.root, filepath.FromSlash(name))
	info, err := os.Lstat(full)
	if name != "" && (errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir()) {
		return nil // it was there a moment ago
	}
	if err != nil {
		return err
	}
	now := stateOf(name, info, w.now)
	w.parts = append(w.parts, now)
	if known, ok := w.known[name]; ok && known.holds(now) {
		w.kept[name] = true
		for _, sub := range w.below[name] {
			if err := w.folder(sub); err != nil {
				return err
			}
		}
		return nil
	}
	return w.read(name, full)
}

// read takes in a folder in the order that the keys of its pictures have.
func (w *walk) read(name, full string) error {
	entries, err := namesIn(full)
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
	return nil
}

// listed is how many entries of a folder are held at a time: those of a million
// files in one folder take four times the memory of their names.
const listed = 1024

// namesIn returns the names of the pictures and, with a slash at the end, which puts
// them where the keys of their pictures belong, of the folders in a folder. Hidden
// ones are passed over, links to files are followed, links to folders are not.
func namesIn(folder string) (names []string, err error) {
	err = eachEntry(folder, func(d fs.DirEntry) (more bool) {
		switch {
		case d.IsDir():
			names = append(names, d.Name()+"/")
		case isPicture(d.Name()) && isFile(filepath.Join(folder, d.Name()), d):
			names = append(names, d.Name())
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// eachEntry calls do with the entries of a folder that are not hidden, in no order,
// until it wants no more.
func eachEntry(folder string, do func(d fs.DirEntry) (more bool)) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(listed)
		for _, d := range entries {
			if !strings.HasPrefix(d.Name(), ".") && !do(d) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isFile is false for pipes, devices and links to folders. A link to nothing
// counts: it is quarantined when it is read, where people see it.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

var errFound = errors.New("found")

// anyPicture says whether a tree has a picture at all.
func anyPicture(root string) (bool, error) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && isPicture(d.Name()) && isFile(path, d):
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// refreshTree is the index of a tree as it is now, made from an older one, which
// may be of nothing. changed is false when the older one still holds.
func refreshTree(x *indexing, old *listing) (now *listing, changed bool, err error) {
	w := newWalk(x.ctx, x.source.root, old.parts)
	if err := w.folder(""); err != nil {
		return nil, false, err
	}
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
