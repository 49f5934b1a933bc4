package tensor

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

var safeTypes = func() map[string]DType {
	m := map[string]DType{}
	for t, name := range safeNames {
		m[name] = t
	}
	return m
}()

// ReadSafetensors reads all tensors and the metadata of a safetensors file of
// size bytes. It trusts nothing: the header must be a JSON object without a
// repeated name, every dtype known, every shape as large as its span, and the
// spans must tile the rest of the file, as in the reference reader. Memory is
// never more than a small multiple of size. The metadata map is never nil.
func ReadSafetensors(r io.ReaderAt, size int64) (map[string]*Tensor, map[string]string, error) {
	header, err := readHeader(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("read safetensors header: %w", err)
	}
	entries, metadata, err := parseHeader(header)
	if err != nil {
		return nil, nil, fmt.Errorf("parse safetensors header: %w", err)
	}
	start := 8 + int64(len(header))
	if err := checkTiling(entries, size-start); err != nil {
		return nil, nil, fmt.Errorf("check safetensors header: %w", err)
	}
	tensors := make(map[string]*Tensor, len(entries))
	buf := make([]byte, min(chunkBytes, max(size-start, 8)))
	for name, e := range entries {
		t := New(safeTypes[e.DType], ints(e.Shape)...)
		span := io.NewSectionReader(r, start+e.Offsets[0], e.Offsets[1]-e.Offsets[0])
		if err := readData(span, t, buf); err != nil {
			return nil, nil, fmt.Errorf("read tensor %q: %w", name, err)
		}
		tensors[name] = t
	}
	return tensors, metadata, nil
}

// ReadSafetensorsFile reads the safetensors file at path; see ReadSafetensors.
func ReadSafetensorsFile(path string) (map[string]*Tensor, map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	tensors, metadata, err := ReadSafetensors(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, metadata, nil
}

func readHeader(r io.ReaderAt, size int64) ([]byte, error) {
	var length [8]byte
	if size < 8 {
		return nil, fmt.Errorf("not a safetensors file: only %d bytes", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return nil, fmt.Errorf("length %d is over the limit of %d; not a safetensors file", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, fmt.Errorf("length %d does not fit a file of %d bytes", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(n)), header); err != nil {
		return nil, err
	}
	return header, nil
}

// parseHeader returns the entries, each validated individually, and the metadata.
func parseHeader(header []byte) (map[string]safeEntry, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, fmt.Errorf("not a JSON object")
	}
	entries, metadata := map[string]safeEntry{}, map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(header))
	err := object(dec, func(name string) error {
		if name == metadataKey {
			return object(dec, func(key string) error {
				var value *string
				if err := dec.Decode(&value); err != nil || value == nil {
					return fmt.Errorf("metadata %q is not a string", key)
				}
				metadata[key] = *value
				return nil
			})
		}
		var e safeEntry
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		entries[name] = e
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if rest := bytes.TrimLeft(header[dec.InputOffset():], " "); len(rest) > 0 {
		return nil, nil, fmt.Errorf("%d bytes after the JSON object", len(rest))
	}
	return entries, metadata, nil
}

// object reads a JSON object and calls member for each name; member must consume
// the value. A repeated name is an error, where encoding/json takes the last.
func object(dec *json.Decoder, member func(name string) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("expected a JSON object, found %v (%v)", t, err)
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok || seen[name] {
			return fmt.Errorf("name %v is repeated or not a string", t)
		}
		seen[name] = true
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

func (e safeEntry) check() error {
	t, ok := safeTypes[e.DType]
	if !ok {
		return fmt.Errorf("unknown dtype %q", e.DType)
	}
	if e.Shape == nil || len(e.Offsets) != 2 {
		return fmt.Errorf("shape or data_offsets missing")
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin {
		return fmt.Errorf("data_offsets %v are not a span", e.Offsets)
	}
	n, err := elements(e.Shape)
	if err != nil {
		return err
	}
	if n > math.MaxInt/t.Size() || int64(n*t.Size()) != end-begin {
		return fmt.Errorf("shape %v of %s does not fill %d bytes", e.Shape, e.DType, end-begin)
	}
	return nil
}

// elements returns the product of an untrusted shape, or an error if it is negative or overflows.
func elements[T int | int64](shape []T) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt/int(d)) {
			return 0, fmt.Errorf("shape %v is negative or too large", shape)
		}
		n *= int(d)
	}
	return n, nil
}

// checkTiling returns an error unless the spans cover size bytes, each exactly once.
func checkTiling(entries map[string]safeEntry, size int64) error {
	type span struct {
		name       string
		begin, end int64
	}
	spans := make([]span, 0, len(entries))
	for name, e := range entries {
		spans = append(spans, span{name, e.Offsets[0], e.Offsets[1]})
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	var at int64
	for _, s := range spans {
		if s.begin != at {
			return fmt.Errorf("tensor %q begins at byte %d, expected %d: spans overlap or leave a gap", s.name, s.begin, at)
		}
		at = s.end
	}
	if at != size {
		return fmt.Errorf("tensors end at byte %d of %d: truncated file or unused bytes", at, size)
	}
	return nil
}

func ints(shape []int64) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = int(d)
	}
	return out
}

// readData fills t from its span through buf.
func readData(r io.Reader, t *Tensor, buf []byte) error {
	switch d := t.Data.(type) {
	case []float32:
		return readSlice(r, d, t.Type.Size(), buf)
	case []float64:
		return readSlice(r, d, t.Type.Size(), buf)
	case []int64:
		return readSlice(r, d, t.Type.Size(), buf)
	case []int32:
		return readSlice(r, d, t.Type.Size(), buf)
	case []uint16:
		return readSlice(r, d, t.Type.Size(), buf)
	case []int8:
		return readSlice(r, d, t.Type.Size(), buf)
	case []uint8:
		_, err := io.ReadFull(r, d)
		return err
	case []bool:
		return readBools(r, d, buf)
	}
	return fmt.Errorf("no way to read %v", t.Type)
}

func readSlice[T any](r io.Reader, data []T, size int, buf []byte) error {
	for len(data) > 0 {
		n := min(len(data), len(buf)/size)
		if _, err := io.ReadFull(r, buf[:n*size]); err != nil {
			return err
		}
		if _, err := binary.Decode(buf[:n*size], binary.LittleEndian, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func readBools(r io.Reader, data []bool, buf []byte) error {
	for len(data) > 0 {
		n := min(len(data), len(buf))
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return err
		}
		for i, b := range buf[:n] {
			if b > 1 {
				return fmt.Errorf("byte %d is not a boolean", b)
			}
			data[i] = b == 1
		}
		data = data[n:]
	}
	return nil
}
