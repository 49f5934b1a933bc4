package indexing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// remainsSuffix names the file beside an index to which what is left of damaged items is written
// before they are removed.
const remainsSuffix = ".damaged.jsonl"

// warn says that an index has damaged items.
func warn(stderr io.Writer, path string, bad []index.Damage) {
	if len(bad) == 0 {
		return
	}
	fmt.Fprintf(stderr, "%s has %d damaged items, which are left out, such as %s; vicreg index check lists them, vicreg index remove FILE --damaged removes them\n",
		usage.Printable(path), len(bad), damaged(bad[0]))
}

// damaged formats what is damaged, and how, on one line.
func damaged(d index.Damage) string {
	name, what := fmt.Sprintf("the item with key %d", d.Key), "its row"
	if d.ID != "" {
		name = usage.Printable(d.ID) + " in namespace " + usage.Printable(d.Namespace)
	}
	if d.Thumbnail {
		what = "its thumbnail"
	}
	return name + ": " + what + " " + usage.Printable(d.Reason)
}

// tally counts damaged items and thumbnails.
func tally(bad []index.Damage) string {
	thumbnails := 0
	for _, d := range bad {
		if d.Thumbnail {
			thumbnails++
		}
	}
	return fmt.Sprintf("%d damaged items and %d damaged thumbnails", len(bad)-thumbnails, thumbnails)
}

// reading returns a function that shows how many items have been read, and one that clears that.
func reading(stderr io.Writer) (progress func(done, total int), clear func()) {
	line := bulk.NewLine(stderr)
	return func(done, total int) {
		line.Show(func() string { return fmt.Sprintf("read %d of %d items", done, total) })
	}, line.Clear
}

func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	path, err := parseFile(args, stdout, usage.Text{
		Name:     "index check",
		Purpose:  "Read all of an index, compare it with its checksums, and list everything that is damaged.",
		Synopsis: "FILE",
		Examples: []string{"vicreg index check photos.index"},
		Notes: `The exit code is 1 when something is damaged. A server may own the index meanwhile.
Damaged items are left out of searches and lists until they are stored again (vicreg
index add does that if their images are in the folder) or removed: by ID, or all of them
by vicreg index remove FILE --damaged. If more than items is damaged, put a copy of
vicreg index backup in place of the file.`,
	})
	if err != nil {
		return err
	}
	progress, clear := reading(stderr)
	r, err := index.Survey(ctx, path, progress)
	clear()
	if err != nil {
		return advised(err, path, true)
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(stdout, "damaged    %s\n", damaged(d))
	}
	for _, text := range r.Other {
		fmt.Fprintf(stdout, "damaged    the file: %s\n", usage.Printable(text))
	}
	switch {
	case r.Unsound:
		return fmt.Errorf("%s: %w in its structure, and writing to it could destroy more: replace it with a backup; it has %s, and %d sound items", usage.Printable(path), index.ErrDamaged, tally(r.Damaged), r.Rows)
	case len(r.Damaged) > 0:
		return fmt.Errorf("%s: %w: it has %s, and %d sound items; store them again, or remove them with vicreg index remove FILE --damaged", usage.Printable(path), index.ErrDamaged, tally(r.Damaged), r.Rows)
	case len(r.Other) > 0:
		return fmt.Errorf("%s: %w: replace it with a backup; %s intact", usage.Printable(path), index.ErrDamaged, usage.Count(r.Rows, "item"))
	}
	_, err = fmt.Fprintf(stdout, "%s is intact: %s\n", usage.Printable(path), usage.Count(r.Rows, "item"))
	return err
}

// removeDamaged removes all damaged rows of the file.
func (r *removing) removeDamaged(ctx context.Context, stdout, stderr io.Writer) (err error) {
	remains := r.file + remainsSuffix
	var out *os.File
	defer func() {
		if out != nil {
			err = errors.Join(err, out.Close())
		}
	}()
	progress, clear := reading(stderr)
	removed, left, err := index.Discard(ctx, r.file, progress, func(d index.Damage, columns map[string]any) (err error) {
		if out == nil {
			if out, err = os.OpenFile(remains, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666); err != nil {
				return err
			}
		}
		return keep(out, d, columns)
	})
	clear()
	for _, d := range removed {
		fmt.Fprintf(stdout, "removed    %s\n", damaged(d))
	}
	for _, why := range left {
		fmt.Fprintf(stdout, "left       %s\n", usage.Printable(why.Error()))
	}
	if err != nil {
		return advised(err, r.file, false)
	}
	what := ""
	if out != nil {
		what = fmt.Sprintf("; what could be read of them is in %s", usage.Printable(remains))
	}
	fmt.Fprintf(stdout, "removed %s from %s%s\n", tally(removed), usage.Printable(r.file), what)
	if len(left) > 0 {
		return fmt.Errorf("%w: %d damaged items cannot be removed and stay left out; a backup put in place of the file has them", index.ErrDamaged, len(left))
	}
	return nil
}

// keep writes what is left of an item durably. Bytes are in base64.
func keep(out *os.File, d index.Damage, columns map[string]any) error {
	line, err := json.Marshal(struct {
		Key       int64          `json:"key"`
		Namespace string         `json:"namespace"`
		ID        string         `json:"id"`
		Thumbnail bool           `json:"thumbnail"`
		Reason    string         `json:"reason"`
		Columns   map[string]any `json:"columns"`
	}{d.Key, d.Namespace, d.ID, d.Thumbnail, d.Reason, columns})
	if err != nil {
		return err
	}
	_, err = out.Write(append(line, '\n'))
	return errors.Join(err, out.Sync())
}
