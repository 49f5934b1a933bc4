package vectors

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Row is one vector of a file. Only .jsonl can hold more than path and vector, and only vectors
// exported from an index have more.
type Row struct {
	Path      string          `json:"path"`
	Embedding []float32       `json:"embedding"`
	Source    string          `json:"source,omitempty"` // path of the image file
	Hash      string          `json:"sha256,omitempty"` // of the image file, in hexadecimal
	Metadata  json.RawMessage `json:"metadata,omitempty"`
}

// ReadInfo reads NAME.json, which describes the vectors in the file name.
func ReadInfo(name string) (Info, error) {
	var info Info
	text, err := os.ReadFile(name + ".json")
	if err != nil {
		return info, fmt.Errorf("read vectors: %w", err)
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, fmt.Errorf("read vectors: %s.json: %w", name, err)
	}
	if info.Fingerprint == "" || info.Dim < 1 {
		return info, fmt.Errorf("read vectors: %s.json names no model: want the file that vicreg embed writes next to its vectors", name)
	}
	return info, nil
}

// Read calls each for every row of a file in any of the Formats, in order, with a vector that each
// may keep. info comes from ReadInfo. An error from each ends the reading. A file that is truncated
// or has vectors of another length is an error, possibly after each was called for some of its
// rows.
func Read(name string, info Info, each func(Row) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read vectors: %w", err)
	}
	defer f.Close()
	n := 0
	err = read(f, name, func(r Row) error {
		if n++; len(r.Embedding) != info.Dim {
			return fmt.Errorf("read vectors: %s: row %d has %d numbers, and %s.json says %d", name, n, len(r.Embedding), name, info.Dim)
		}
		return each(r)
	})
	if err == nil && n != info.Count {
		err = fmt.Errorf("read vectors: %s has %d rows, and %s.json says %d", name, n, name, info.Count)
	}
	return err
}

func read(f *os.File, name string, each func(Row) error) error {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".npy":
		return readNumPy(f, name, each)
	case ".jsonl":
		return readLines(f, name, each)
	case ".parquet":
		return readParquet(f, name, each)
	}
	return fmt.Errorf("read vectors: %s: want a name that ends in %s", name, strings.Join(Formats, ", "))
}

func readLines(f io.Reader, name string, each func(Row) error) error {
	d := json.NewDecoder(bufio.NewReader(f))
	for n := 1; ; n++ {
		var r Row
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read vectors: %s: row %d: %w", name, n, err)
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

func readParquet(f *os.File, name string, each func(Row) error) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return fmt.Errorf("read vectors: %s: %w", name, err)
	}
	r := parquet.NewGenericReader[row](file)
	defer r.Close()
	for {
		rows := make([]row, 64) // fresh for every read: each may keep their vectors
		n, err := r.Read(rows)
		for _, v := range rows[:n] {
			if err := each(Row{Path: v.Path, Embedding: v.Embedding}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read vectors: %s: %w", name, err)
		}
	}
}
