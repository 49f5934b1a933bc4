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

// openJournal opens the journal at path to go on with, or begins it; anew with
// --force. It must be of this model and of the images as they are now.
func (e *embedding) openJournal(path string) (err error) {
	if e.force {
		if err := discard(path); err != nil {
			return err
		}
	}
	info := e.info()
	info.Images = stateOf(e.set) // a vector belongs to what its file held
	e.journal, err = vectors.OpenJournal(path, info)
	switch {
	case errors.Is(err, vectors.ErrOther):
		return usage.Errorf("%s: %w, or an image has changed since; --force begins anew", path, vectors.ErrOther)
	case errors.Is(err, vectors.ErrForeign):
		return usage.Errorf("%s is in the way: %w", path, vectors.ErrForeign)
	}
	return err
}

func discard(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// stateOf tells images apart by what is known without reading them: key, size and
// time of change of each.
func stateOf(set *dataset.Set) string {
	h := sha256.New()
	for i := range set.Len() {
		f := set.Entry(i)
		fmt.Fprintf(h, "%s\x00%d %d\n", set.Key(i), f.Size, f.Modified.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
