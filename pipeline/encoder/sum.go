package encoder

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"vicreg/models/onnx"
)

type digest = [sha256.Size]byte

// sum hashes parts of any length such that different lists of parts never produce the same input.
type sum struct{ hash.Hash }

func newSum(kind string) sum {
	s := sum{sha256.New()}
	s.text(kind)
	return s
}

func (s sum) bytes(b []byte) {
	s.ints(int64(len(b)))
	s.Write(b)
}

func (s sum) text(t string) { s.bytes([]byte(t)) }

func (s sum) ints(values ...int64) {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	s.Write(b)
}

// spec adds the type and shape of an input or output; the names of symbolic dimensions are ignored.
func (s sum) spec(v *onnx.ValueInfoProto) error {
	spec, err := onnx.SpecOf(v)
	if err != nil {
		return err
	}
	s.ints(int64(spec.Type), int64(len(spec.Shape)))
	for _, d := range spec.Shape {
		s.ints(int64(d))
	}
	return nil
}

func (s sum) sum() (d digest) {
	s.Sum(d[:0])
	return d
}
