// Package vectors stores embeddings in files: in formats that common tools read, and in a journal
// from which an interrupted run resumes.
package vectors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Info describes the vectors in a file.
type Info struct {
	Model       string `json:"model"`              // file name of the model
	Fingerprint string `json:"fingerprint"`        // only vectors with equal fingerprints are comparable
	Dim         int    `json:"dim"`                // D, the length of a vector
	Centered    bool   `json:"centered,omitempty"` // the model's mean was subtracted, before normalisation
	Normalized  bool   `json:"normalized"`         // to length 1
	Source      string `json:"source"`             // of the images
	Images      string `json:"images"`             // fingerprint of their paths
	Count       int    `json:"count"`              // vectors, one per good image
	Bad         []Bad  `json:"bad"`                // images without a vector
}

// Bad is an image without a vector.
type Bad struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Writer writes vectors one at a time. Close flushes but does not close the underlying io.Writer. A
// Writer is not safe for concurrent use.
type Writer interface {
	// Write adds the vector [D] of the image with this path.
	Write(path string, v []float32) error
	Close() error
}

// Formats lists the file extensions that Create supports.
var Formats = []string{".npy", ".jsonl", ".parquet"}

// Known reports whether Create supports the extension of a file name.
func Known(name string) bool {
	for _, f := range Formats {
		if strings.EqualFold(filepath.Ext(name), f) {
			return true
		}
	}
	return false
}

// Create returns a writer for the format given by the name's extension.
//
//   - .npy: float32 [Count, D], row-major, without the paths;
//   - .jsonl: one object {"path", "embedding"} per line;
//   - .parquet: columns path (string) and embedding (list of float32); model,
//     fingerprint, dim, centered and normalized are key-value metadata.
func Create(w io.Writer, name string, info Info) (Writer, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".npy":
		return newNumPy(w, info)
	case ".jsonl":
		b := bufio.NewWriter(w)
		return &lines{b, json.NewEncoder(b)}, nil
	case ".parquet":
		return newParquet(w, info), nil
	}
	return nil, fmt.Errorf("write vectors: %s: want a name that ends in %s", name, strings.Join(Formats, ", "))
}

// numPy writes NumPy's format, version 1.0: magic, version, header length, and the header as a
// Python dictionary, padded so that the data is 64-byte aligned.
type numPy struct {
	w   *bufio.Writer
	row []byte
}

func newNumPy(w io.Writer, info Info) (*numPy, error) {
	const before = 10
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", info.Count, info.Dim)
	header += strings.Repeat(" ", 63-(before+len(header))%64) + "\n"
	n := &numPy{bufio.NewWriter(w), make([]byte, 0, 4*info.Dim)}
	n.w.WriteString("\x93NUMPY\x01\x00")
	n.w.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	_, err := n.w.WriteString(header)
	return n, err
}

func (n *numPy) Write(_ string, v []float32) error {
	n.row = Append(n.row[:0], v)
	_, err := n.w.Write(n.row)
	return err
}

func (n *numPy) Close() error { return n.w.Flush() }

// Append appends v to dst as little-endian float32.
func Append(dst []byte, v []float32) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}

func decode(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// row is a vector with its path, as a JSON object and as Parquet columns.
type row struct {
	Path      string    `json:"path" parquet:"path"`
	Embedding []float32 `json:"embedding" parquet:"embedding,list"`
}

type lines struct {
	w *bufio.Writer
	e *json.Encoder
}

func (l *lines) Write(path string, v []float32) error { return l.e.Encode(row{path, v}) }

func (l *lines) Close() error { return l.w.Flush() }

type columns struct{ w *parquet.GenericWriter[row] }

// groupRows is how many rows are buffered in memory before they are written.
const groupRows = 4096

func newParquet(w io.Writer, info Info) *columns {
	return &columns{parquet.NewGenericWriter[row](w, parquet.MaxRowsPerRowGroup(groupRows),
		parquet.KeyValueMetadata("vicreg.model", info.Model),
		parquet.KeyValueMetadata("vicreg.fingerprint", info.Fingerprint),
		parquet.KeyValueMetadata("vicreg.dim", fmt.Sprint(info.Dim)),
		parquet.KeyValueMetadata("vicreg.centered", fmt.Sprint(info.Centered)),
		parquet.KeyValueMetadata("vicreg.normalized", fmt.Sprint(info.Normalized)))}
}

func (c *columns) Write(path string, v []float32) error {
	_, err := c.w.Write([]row{{path, v}})
	return err
}

func (c *columns) Close() error { return c.w.Close() }
