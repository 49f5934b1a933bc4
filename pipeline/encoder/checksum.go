package encoder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"vicreg/models/onnx"
)

// checksumLen is the length of a checksum in hexadecimal digits.
const checksumLen = 2 * sha256.Size

// checksumHead is the beginning of a file that Marshal writes: field 14 of the model,
// metadata_props, with its key, up to the checksum as its value. The format does not prescribe the
// order of fields. With the checksum at the front, truncation at any point is detected.
const checksumHead = "\x72\x51" + "\x0a\x0d" + keyChecksum + "\x12\x40"

// Marshal returns the bytes of a model file: a checksum, in the metadata under its own key, then
// the model as onnx.Marshal writes it, over which the checksum is computed, so that every byte is
// covered. An existing checksum of the model is dropped.
func Marshal(model *onnx.ModelProto) ([]byte, error) {
	takeChecksum(model)
	body, err := onnx.Marshal(model)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte(checksumHead), []byte(checksum(body)), body), nil
}

func checksum(body []byte) string {
	d := sha256.Sum256(body)
	return hex.EncodeToString(d[:])
}

// intact verifies a file against its checksum. A file without one passes: an older version or
// another program wrote it.
func intact(file []byte) error {
	n := min(len(file), len(checksumHead))
	head := file[:n]
	if differing(head, []byte(checksumHead)[:n]) > damagedBits {
		return nil
	}
	if len(file) < len(checksumHead)+checksumLen {
		return fmt.Errorf("the file is truncated: it ends after %d bytes; copy or export it again", len(file))
	}
	if !bytes.Equal(head, []byte(checksumHead)) {
		return errors.New("the file is damaged: its first bytes differ from what was exported; copy or export it again")
	}
	rest := file[len(checksumHead):]
	want, got := string(rest[:checksumLen]), checksum(rest[checksumLen:])
	if got != want {
		return fmt.Errorf("the file is damaged or truncated: its content differs from what was exported (checksum %.8s, %.8q on export); copy or export it again", got, want)
	}
	return nil
}

// damagedBits is the number of wrong bits up to which a head counts as damaged rather than as the
// beginning of a file without a checksum. The latter differs in about 40 bits.
const damagedBits = 8

func differing(a, b []byte) (count int) {
	for i := range a {
		count += bits.OnesCount8(a[i] ^ b[i])
	}
	return count
}

// unchanged verifies a model that another program has read and written, which moves the checksum
// among the other metadata keys.
func unchanged(model *onnx.ModelProto) error {
	want, ok := takeChecksum(model)
	if !ok {
		return nil
	}
	body, err := onnx.Marshal(model)
	if err != nil {
		return err
	}
	if checksum(body) != want {
		return fmt.Errorf("the model was changed or damaged since it was exported; export it again, or remove %s from its metadata if another program changed it on purpose", keyChecksum)
	}
	return nil
}

// takeChecksum removes the checksum from a model's metadata.
func takeChecksum(model *onnx.ModelProto) (sum string, ok bool) {
	sum, ok = onnx.Metadata(model)[keyChecksum]
	model.MetadataProps = slices.DeleteFunc(model.MetadataProps, func(p *onnx.StringStringEntryProto) bool { return p.Key == keyChecksum })
	return sum, ok
}
