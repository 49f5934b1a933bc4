package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
)

// openJournal opens the journal at path to resume from it, or creates it; --force starts over. It
// must belong to this model and to the images in their present state.
func (e *embedding) openJournal(path string) (err error) {
	info := e.info()
	info.Images = stateOf(e.set) // a vector depends on the file's contents
	if e.force {
		err = forget(path, info)
	}
	if err == nil {
		e.journal, err = vectors.OpenJournal(path, info)
	}
	switch {
	case errors.Is(err, vectors.ErrOther):
		return usage.Errorf("%s: %w, or an image has changed since; --force starts over", path, vectors.ErrOther)
	case errors.Is(err, vectors.ErrForeign):
		return usage.Errorf("%s is in the way: %w", path, vectors.ErrForeign)
	}
	return err
}

// forget removes a journal. It fails on a file that is not a journal or is being written.
func forget(path string, info vectors.Info) error {
	j, err := vectors.OpenJournal(path, info)
	if err == nil {
		err = j.Close()
	}
	if err != nil && !errors.Is(err, vectors.ErrOther) {
		return err
	}
	return discard(path)
}

func discard(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// stateOf fingerprints the images by what is known without reading them: key, size and modification
// time of each.
func stateOf(set *dataset.Set) string {
	h := sha256.New()
	for i := range set.Len() {
		f := set.Entry(i)
		fmt.Fprintf(h, "%s\x00%d %d\n", set.Key(i), f.Size, f.Modified.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
