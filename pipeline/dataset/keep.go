package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vicreg/pipeline/whole"
)

// NoIndex as the name of the index file disables the index.
const NoIndex = "-"

// SaveFrom is the number of images from which an index is saved by default.
const SaveFrom = 10_000

// place returns the path of a source's index file, "" for none. asked reports whether the user
// named it.
func (o Options) place(s *source) (path string, asked bool) {
	switch {
	case o.Index == NoIndex || s.kind == named: // listing the files is all the work
		return "", false
	case o.Index != "":
		return o.Index, true
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256(append([]byte{byte(s.kind)}, s.path...))
	return filepath.Join(folder, "vicreg", "index", hex.EncodeToString(sum[:16])), false
}

// loadIndex returns the index in a file, or an empty one if the file is missing, damaged or of
// another source; the index is then rebuilt.
func loadIndex(path string, s *source) *listing {
	nothing := &listing{table: &table{}}
	f, err := os.Open(path)
	if err != nil {
		return nothing
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nothing
	}
	x, err := readIndex(f, info.Size(), s)
	if err != nil {
		return nothing
	}
	return x
}

// saveIndex writes an index file atomically: it gets its name only once complete and on disk.
func saveIndex(path string, s *source, x *listing) error {
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = whole.Write(path, func(w io.Writer) error { return writeIndex(w, s, x) })
	}
	if err != nil {
		return fmt.Errorf("save the index: %w", err)
	}
	return nil
}
