package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	applicationID = 0x76696372 // "vicr"
	version       = 1          // of the schema
	pageSize      = 16384      // 4096 would fit only one row of 512 dimensions
)

// tables is the schema. Thumbnails have a table of their own, so that loading skips them, and the
// vector is a row's last column, so that the others can be read without it.
const tables = `
CREATE TABLE items (
  key       INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  id        TEXT NOT NULL,
  source    TEXT NOT NULL,    -- path of the image file
  metadata  TEXT,             -- JSON
  hash      BLOB,             -- SHA-256 of the image file
  sum       INTEGER NOT NULL, -- CRC-32C of the row
  vector    BLOB NOT NULL,    -- float32, little-endian
  UNIQUE (namespace, id)
) STRICT;
CREATE TABLE thumbnails (
  key  INTEGER PRIMARY KEY,   -- of the item
  sum  INTEGER NOT NULL,
  jpeg BLOB NOT NULL
) STRICT;
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  sum   INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`

// Names of the meta values that store an About.
const (
	metaFingerprint = "fingerprint"
	metaDim         = "dim"
	metaCenter      = "center"
)

// newDraft is where create builds a file. Only the owner of path uses it.
func newDraft(path string) string { return path + ".new" }

// create makes an index without rows at path, where no file exists. It is complete when it
// appears there. Leftovers of an earlier file would become a part of the new one: empty ones are
// removed, others are an error.
func create(path string, about About) error {
	if about.Fingerprint == "" || about.Dim < 1 || about.Center != nil && len(about.Center) != about.Dim {
		return errors.New("a new index needs a fingerprint, a dimension and no centre or one of that dimension")
	}
	draft := newDraft(path)
	if err := orphaned(path); err != nil {
		return err
	}
	if err := errors.Join(dropBeside(path), dropDrafts(path)); err != nil {
		return err
	}
	if err := draw(draft, about); err != nil {
		os.Remove(draft)
		return err
	}
	return move(draft, path)
}

// draw writes the tables and the About of a new file.
func draw(path string, about About) (err error) {
	c, err := drafting.connect(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	err = run(c, fmt.Sprintf("BEGIN; %s PRAGMA application_id = %d; PRAGMA user_version = %d;", tables, applicationID, version))
	if err != nil {
		return err
	}
	for name, value := range about.values() {
		if err := setMeta(c, name, value); err != nil {
			return err
		}
	}
	return run(c, "COMMIT")
}

// move renames a file within its folder, durably.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncFolder(to)
}

// syncFolder syncs the folder of a file, so that changes of names are on the disk.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// identify rejects a file that is not an index of this or an earlier version.
func identify(c *conn) error {
	id, err := number(c, "PRAGMA application_id")
	if err != nil {
		return err
	}
	if id != applicationID {
		return fmt.Errorf("%w: it is an SQLite database of another program", ErrForeign)
	}
	v, err := number(c, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if v > version {
		return fmt.Errorf("%w: its version is %d, but this program supports %d", ErrNewer, v, version)
	}
	if v < 1 {
		return fmt.Errorf("%w: it has no version", ErrDamaged)
	}
	return nil
}

// readAbout reads the About of a file.
func readAbout(ctx context.Context, c *conn) (a About, err error) {
	var values [3][]byte
	for i, name := range []string{metaFingerprint, metaDim, metaCenter} {
		if values[i], err = meta(ctx, c, name); err != nil {
			return a, err
		}
	}
	if !a.set(values[0], values[1], values[2]) {
		return a, fmt.Errorf("%w: it does not state the model and dimension of its vectors", ErrDamaged)
	}
	return a, nil
}
