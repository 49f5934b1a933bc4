// Package golden provides tests with PyTorch's results and inputs: it reads the fixtures beside it
// and generates the same weights and images as golden.py, which defines the generator.
package golden

import (
	"bytes"
	"embed"
	"encoding/json"
	"hash/fnv"
	"testing"

	"vicreg/models/tensor"
)

//go:embed fixtures/*.safetensors
var files embed.FS

// hash is h(i) of golden.py for one name.
type hash uint64

func named(name string) hash {
	h := fnv.New64a()
	h.Write([]byte(name))
	return hash(h.Sum64())
}

func (h hash) at(i int) uint64 {
	z := uint64(h) + uint64(i+1)*0x9E3779B97F4A7C15
	z ^= z >> 30
	z *= 0xBF58476D1CE4E5B9
	z ^= z >> 27
	z *= 0x94D049BB133111EB
	return z ^ z>>31
}

// u is exact in float32: 24 bits in [-1, 1).
func (h hash) u(i int) float32 { return float32(h.at(i)>>40)/(1<<23) - 1 }

// U returns the first n values of the generator for a name.
func U(name string, n int) []float32 {
	out, h := make([]float32, n), named(name)
	for i := range out {
		out[i] = h.u(i)
	}
	return out
}

// Fill returns a float32 tensor of offset + scale*u.
func Fill(name string, scale, offset float64, shape ...int) *tensor.Tensor {
	t, h := tensor.New(tensor.Float32, shape...), named(name)
	for i := range t.Float32() {
		// The conversions prevent the product from being fused with the sum.
		t.Float32()[i] = float32(float64(scale*float64(h.u(i))) + offset)
	}
	return t
}

// Pixels returns a uint8 tensor of uniformly distributed values.
func Pixels(name string, shape ...int) *tensor.Tensor {
	t, h := tensor.New(tensor.Uint8, shape...), named(name)
	for i := range t.Data.([]uint8) {
		t.Data.([]uint8)[i] = uint8(h.at(i) >> 56)
	}
	return t
}

// Fixture is one file of reference values. It belongs to the test that opened it.
type Fixture struct {
	Tensors  map[string]*tensor.Tensor
	Metadata map[string]string
	tb       testing.TB
}

// Open reads fixtures/NAME.safetensors; the test fails if it cannot.
func Open(tb testing.TB, name string) *Fixture {
	tb.Helper()
	b, err := files.ReadFile("fixtures/" + name + ".safetensors")
	if err != nil {
		tb.Fatal(err)
	}
	tensors, metadata, err := tensor.ReadSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatalf("fixture %s: %v", name, err)
	}
	return &Fixture{tensors, metadata, tb}
}

// Floats returns a float32 or float64 tensor as float64.
func (f *Fixture) Floats(name string) []float64 {
	f.tb.Helper()
	t := f.Tensors[name]
	if t == nil {
		f.tb.Fatalf("the fixture has no %s", name)
	}
	switch d := t.Data.(type) {
	case []float64:
		return d
	case []float32:
		out := make([]float64, len(d))
		for i, x := range d {
			out[i] = float64(x)
		}
		return out
	}
	f.tb.Fatalf("%s of the fixture is %v", name, t.Type)
	return nil
}

// Names decodes a list of strings from the metadata.
func (f *Fixture) Names(key string) []string {
	f.tb.Helper()
	var names []string
	if err := json.Unmarshal([]byte(f.Metadata[key]), &names); err != nil {
		f.tb.Fatalf("metadata %s of the fixture: %v", key, err)
	}
	return names
}
