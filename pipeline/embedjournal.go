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
	info := e.info()
	info.Images = stateOf(e.set) // a vector belongs to what its file held
	if e.force {
		err = forget(path, info)
	}
	if err == nil {
		e.journal, err = vectors.OpenJournal(path, info)
	}
	switch {
	case errors.Is(err, vectors.ErrOther):
		return usage.Errorf("%s: %w, or an image has changed since; --force begins anew", path, vectors.ErrOther)
	case errors.Is(err, vectors.ErrForeign):
		return usage.Errorf("%s is in the way: %w", path, vectors.ErrForeign)
	}
	return err
}

// forget removes a journal. What is none, or is being written, stays and is an error.
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
