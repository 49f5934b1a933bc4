// Package onnx reads, writes and checks ONNX model files. It handles the file format only: what
// operators do, shapes and gradients included, is left to the packages above.
package onnx

//go:generate go build -o ../../build/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc -I ../.. --plugin=../../build/protoc-gen-go --go_out=../.. --go_opt=module=vicreg models/onnx/onnx.proto

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
)

// maxBytes is the largest protobuf message that C++ readers accept.
const maxBytes = 1<<31 - 1

// Marshal returns the bytes of a model file. Equal models give equal bytes, on
// any machine: the format has no maps, and fields are written in a fixed order.
func Marshal(m *ModelProto) ([]byte, error) {
	if n := proto.Size(m); n > maxBytes {
		return nil, fmt.Errorf("write onnx model: %d bytes are more than the 2 GiB the format can hold", n)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write onnx model: %w", err)
	}
	return b, nil
}

// Unmarshal reads the bytes of a model file. It requires a graph, but validates nothing further:
// see Check.
func Unmarshal(b []byte) (*ModelProto, error) {
	m := new(ModelProto)
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("read onnx model: %w", err)
	}
	if m.Graph == nil {
		return nil, errors.New("read onnx model: it contains no graph")
	}
	return m, nil
}

// Metadata returns the key-value pairs of a model as a new map.
func Metadata(m *ModelProto) map[string]string {
	kv := make(map[string]string, len(m.MetadataProps))
	for _, p := range m.MetadataProps {
		kv[p.Key] = p.Value
	}
	return kv
}

// SetMetadata sets one key of a model, replacing any former value. The pairs stay sorted by key, so
// the order of the calls does not matter.
func SetMetadata(m *ModelProto, key, value string) {
	for _, p := range m.MetadataProps {
		if p.Key == key {
			p.Value = value
			return
		}
	}
	m.MetadataProps = append(m.MetadataProps, &StringStringEntryProto{Key: key, Value: value})
	slices.SortStableFunc(m.MetadataProps, func(a, b *StringStringEntryProto) int {
		return cmp.Compare(a.Key, b.Key)
	})
}

// Opset returns the version of a domain ("" for the standard operators) that a
// model imports; 0 when it imports none.
func Opset(m *ModelProto, domain string) int64 {
	for _, o := range m.OpsetImport {
		if o.Domain == domain {
			return o.Version
		}
	}
	return 0
}
