package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The safetensors format (huggingface/safetensors, README "Format"): eight bytes with the
// little-endian length of a JSON header, the header, padded with spaces to a multiple of eight,
// then the bytes of all tensors without gaps.
const (
	metadataKey = "__metadata__"
	maxHeader   = 100_000_000
	chunkBytes  = 1 << 18
)

var safeNames = map[DType]string{
	Float64: "F64", Float32: "F32", Float16: "F16", BFloat16: "BF16",
	Int64: "I64", Int32: "I32", Int8: "I8", Uint8: "U8", Bool: "BOOL",
}

// safeEntry is one tensor of the header; its offsets are relative to the header's end.
type safeEntry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// WriteSafetensors writes tensors and string metadata in the safetensors format. Tensors are sorted
// by element size, widest first, then by name: every tensor is aligned to its element, and equal
// content gives equal bytes. A tensor whose data does not match its type and shape is reported
// before the first byte is written.
func WriteSafetensors(w io.Writer, tensors map[string]*Tensor, metadata map[string]string) error {
	names, err := fileOrder(tensors)
	if err != nil {
		return err
	}
	header, err := encodeHeader(names, tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	buf := make([]byte, chunkBytes)
	for _, name := range names {
		if err := writeData(w, tensors[name], buf); err != nil {
			return fmt.Errorf("write tensor %q: %w", name, err)
		}
	}
	return nil
}

// fileOrder checks every tensor and returns the names in the order of the file.
func fileOrder(tensors map[string]*Tensor) ([]string, error) {
	names := make([]string, 0, len(tensors))
	for name, t := range tensors {
		if name == metadataKey || !utf8.ValidString(name) {
			return nil, fmt.Errorf("write tensor %q: not a possible name", name)
		}
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("write tensor %q: %w", name, err)
		}
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := tensors[b].Type.Size() - tensors[a].Type.Size(); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

// encodeHeader returns the length and the padded JSON header.
func encodeHeader(names []string, tensors map[string]*Tensor, metadata map[string]string) ([]byte, error) {
	out := bytes.NewBuffer(make([]byte, 8))
	out.WriteByte('{')
	put := func(name string, value any) error {
		if out.Len() > 9 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		val, err := json.Marshal(value)
		if err != nil {
			return err
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(val)
		return nil
	}
	if len(metadata) > 0 {
		if err := put(metadataKey, metadata); err != nil {
			return nil, fmt.Errorf("write safetensors metadata: %w", err)
		}
	}
	var offset int64
	for _, name := range names {
		t := tensors[name]
		e := safeEntry{DType: safeNames[t.Type], Shape: make([]int64, len(t.Shape))}
		for i, d := range t.Shape {
			e.Shape[i] = int64(d)
		}
		e.Offsets = []int64{offset, offset + int64(t.Bytes())}
		offset = e.Offsets[1]
		if err := put(name, e); err != nil {
			return nil, fmt.Errorf("write header of tensor %q: %w", name, err)
		}
	}
	out.WriteByte('}')
	for out.Len()%8 != 0 {
		out.WriteByte(' ')
	}
	if out.Len()-8 > maxHeader {
		return nil, fmt.Errorf("write safetensors: header of %d bytes is over the format's limit of %d", out.Len()-8, maxHeader)
	}
	header := out.Bytes()
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, nil
}

// writeData writes the little-endian elements of t through buf.
func writeData(w io.Writer, t *Tensor, buf []byte) error {
	switch d := t.Data.(type) {
	case []float32:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []float64:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []int64:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []int32:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []uint16:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []int8:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []bool:
		return writeSlice(w, d, t.Type.Size(), buf)
	case []uint8:
		_, err := w.Write(d)
		return err
	}
	return fmt.Errorf("no way to write %T", t.Data)
}

func writeSlice[T any](w io.Writer, data []T, size int, buf []byte) error {
	for len(data) > 0 {
		n := min(len(data), len(buf)/size)
		if _, err := binary.Encode(buf, binary.LittleEndian, data[:n]); err != nil {
			return err
		}
		if _, err := w.Write(buf[:n*size]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// check returns an error unless the data matches the type and the shape.
func (t *Tensor) check() error {
	if t == nil {
		return fmt.Errorf("no tensor")
	}
	n, err := elements(t.Shape)
	if err != nil {
		return err
	}
	var length int
	ok := false
	switch d := t.Data.(type) {
	case []float32:
		length, ok = len(d), t.Type == Float32
	case []float64:
		length, ok = len(d), t.Type == Float64
	case []int64:
		length, ok = len(d), t.Type == Int64
	case []int32:
		length, ok = len(d), t.Type == Int32
	case []uint16:
		length, ok = len(d), t.Type == Float16 || t.Type == BFloat16
	case []int8:
		length, ok = len(d), t.Type == Int8
	case []bool:
		length, ok = len(d), t.Type == Bool
	case []uint8:
		length, ok = len(d), t.Type == Uint8
	}
	if !ok {
		return fmt.Errorf("data of Go type %T cannot be %v", t.Data, t.Type)
	}
	if length != n {
		return fmt.Errorf("%d elements do not fill shape %v", length, t.Shape)
	}
	return nil
}
