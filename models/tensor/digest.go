package tensor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"slices"
)

// Digest is a SHA-256 over names, types, shapes and little-endian elements in the order of the
// names, then over the metadata in the order of its keys. It depends on the content alone, not on
// the layout of a file.
func Digest(tensors map[string]*Tensor, metadata map[string]string) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	h := sha256.New()
	buf := make([]byte, chunkBytes)
	putInt(h, len(tensors))
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		if err := t.check(); err != nil {
			return sum, fmt.Errorf("hash tensor %q: %w", name, err)
		}
		putString(h, name)
		putString(h, t.Type.String())
		putInt(h, len(t.Shape))
		for _, d := range t.Shape {
			putInt(h, d)
		}
		if err := writeData(h, t, buf); err != nil {
			return sum, fmt.Errorf("hash tensor %q: %w", name, err)
		}
	}
	putInt(h, len(metadata))
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		putString(h, key)
		putString(h, metadata[key])
	}
	h.Sum(sum[:0])
	return sum, nil
}

// Lengths precede contents, so that different contents never hash the same bytes.
func putString(h hash.Hash, s string) {
	putInt(h, len(s))
	h.Write([]byte(s))
}

func putInt(h hash.Hash, n int) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}
