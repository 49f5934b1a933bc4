package index

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
)

// Reasons why an item's vector cannot be made anew for another model, as far as the item itself
// tells.
var (
	errBare     = errors.New("it was stored as a vector, without an image")
	errPathless = errors.New("its image was sent without a path on this disk, and images are not stored")
	errRelative = errors.New("its path is not absolute")
)

// Remakable returns nil if the vector can be made anew from the file that the item came from, or
// else why not. The file itself has yet to be checked, and must have the item's hash. A relative
// path is refused: what it means depends on where a process was started.
func (it Item) Remakable() error {
	switch {
	case len(it.Hash) != sha256.Size:
		return errBare
	case it.Source == "":
		return errPathless
	case !filepath.IsAbs(it.Source):
		return fmt.Errorf("%w: %s", errRelative, it.Source)
	}
	return nil
}
