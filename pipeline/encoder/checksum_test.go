package encoder_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/encoder"
)

// headLen is the number of bytes before the model in a file: tags, key and checksum.
const headLen = 4 + len("vicreg.sha256") + 2 + 64

func sealed(t *testing.T, m *onnx.ModelProto) []byte {
	t.Helper()
	file, err := encoder.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// opens returns the error from opening the bytes of a file.
func opens(t *testing.T, file []byte) error {
	t.Helper()
	e, err := encoder.New(orttest.Open(t), file, ort.Options{Threads: 1})
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return err
}

func refused(t *testing.T, what string, file []byte, at int, want string) {
	t.Helper()
	if err := opens(t, file); err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), "export it again") {
		t.Errorf("%s at %d: %v, want %q", what, at, err, want)
	}
}

// No bit of an exported file can change unnoticed: every bit before the model, then a sample all
// over it, and in its weights.
func TestDamageIsRefused(t *testing.T) {
	m := resnet(t, 1)
	file := sealed(t, m)
	var at []int
	for i := range 8 * headLen {
		at = append(at, i)
	}
	for i := range 200 {
		at = append(at, i*(8*len(file)-1)/199)
	}
	for _, w := range m.Graph.Initializer {
		begin := bytes.Index(file, w.RawData)
		at = append(at, 8*begin, 8*(begin+len(w.RawData)/2)+3, 8*(begin+len(w.RawData))-1)
	}
	for _, i := range at {
		file[i/8] ^= 1 << (i % 8)
		refused(t, "bit", file, i, "the file is damaged")
		file[i/8] ^= 1 << (i % 8)
	}
	if err := opens(t, file); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func TestPartOfAFileIsRefused(t *testing.T) {
	file := sealed(t, averager(t, 8))
	for n := range file {
		refused(t, "cut", file[:n], n, "truncated")
	}
	// Partly written over another model, or into preallocated space.
	other := averager(t, 8)
	onnx.SetMetadata(other, "note", "different")
	for n := headLen; n < len(file); n += 97 {
		refused(t, "half", append(slices.Clone(file[:n]), sealed(t, other)[n:]...), n, "truncated")
		refused(t, "zeros", append(slices.Clone(file[:n]), make([]byte, len(file)-n)...), n, "truncated")
	}
	old := marshal(t, averager(t, 8)) // has no checksum
	for n := range old {
		err := opens(t, old[:n])
		if err == nil || !strings.Contains(err.Error(), "a truncated one") && !strings.Contains(err.Error(), "in its metadata") && !strings.Contains(err.Error(), "truncated") {
			t.Errorf("%d bytes of a file without a checksum: %v", n, err)
		}
	}
}

// Any ONNX reader finds the checksum, and it changes nothing else: neither the fingerprint, to
// which indexes are bound, nor any vector.
func TestChecksum(t *testing.T) {
	m := resnet(t, 1)
	plain, file := marshal(t, m), sealed(t, m)
	d := sha256.Sum256(plain)
	read, err := onnx.Unmarshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := onnx.Metadata(read)["vicreg.sha256"]; got != hex.EncodeToString(d[:]) || !bytes.HasSuffix(file, plain) || len(file) != headLen+len(plain) {
		t.Errorf("checksum %q of %d bytes, want %x of %d before them", got, len(file), d, len(plain))
	}
	if again := sealed(t, read); !bytes.Equal(again, file) {
		t.Error("a model with a checksum gets another one")
	}
	without, with := load(t, m), loadFile(t, file)
	if without.Fingerprint() != with.Fingerprint() {
		t.Errorf("fingerprint %s, without a checksum %s", with.Fingerprint(), without.Fingerprint())
	}
	x := pixels(with, 2)
	a, err := without.Encode(t.Context(), x, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := with.Encode(t.Context(), x, 2)
	if err != nil || !slices.Equal(a, b) {
		t.Errorf("%v, or other vectors", err)
	}
}

// Another program that rewrites the file leaves the checksum among the metadata.
func TestChecksumOfARewrittenModel(t *testing.T) {
	read := func() *onnx.ModelProto {
		m, err := onnx.Unmarshal(sealed(t, resnet(t, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if err := opens(t, marshal(t, read())); err != nil {
		t.Errorf("the same model: %v", err)
	}
	changed := read()
	changed.Graph.Initializer[3].RawData[1] ^= 1
	if err := opens(t, marshal(t, changed)); err == nil || !strings.Contains(err.Error(), "changed or damaged since it was exported; export it again, or remove vicreg.sha256 from") {
		t.Errorf("another weight: %v", err)
	}
	changed.MetadataProps = slices.DeleteFunc(changed.MetadataProps, func(p *onnx.StringStringEntryProto) bool { return p.Key == "vicreg.sha256" })
	if err := opens(t, marshal(t, changed)); err != nil {
		t.Errorf("without the checksum: %v", err)
	}
}

func loadFile(t *testing.T, file []byte) *encoder.Encoder {
	t.Helper()
	e, err := encoder.New(orttest.Open(t), file, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
