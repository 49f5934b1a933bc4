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

// NoIndex as the name of the index file means that no index is kept.
const NoIndex = "-"

// SaveFrom is the number of pictures from which on an index is kept without being
// asked for.
const SaveFrom = 10_000

// place is the file of a source's index, "" for none. asked says that the user
// named it.
func (o Options) place(s *source) (path string, asked bool) {
	switch {
	case o.Index == NoIndex || s.kind == named: // to find out which files there are is the work
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

// loadIndex returns the index in a file, or one of nothing when there is none, or
// it is not of this source, or not in order: it is then made anew.
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

// saveIndex writes a file that appears under its name only when it is complete and
// on the disk.
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
