package golden

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// Go and Python generate the same values, bit for bit.
func TestGeneratorIsPythons(t *testing.T) {
	f, checked := Open(t, "u"), 0
	for full, want := range f.Tensors {
		kind, name, _ := strings.Cut(full, "/")
		var got any
		switch kind {
		case "u":
			got = U(name, 8)
		case "fill":
			got = Fill(name, math.Sqrt(3./27), 0.1, 8).Data
		case "pixels":
			got = Pixels(name, 2, 4).Data
		}
		if !same(got, want.Data) {
			t.Errorf("%s: got %v, Python has %v", full, got, want.Data)
		}
		checked++
	}
	if checked < 18 {
		t.Errorf("compared %d lists only", checked)
	}
}

func same(a, b any) bool {
	if x, ok := a.([]float32); ok {
		y, ok := b.([]float32)
		return ok && slices.Equal(x, y)
	}
	x, ok1 := a.([]uint8)
	y, ok2 := b.([]uint8)
	return ok1 && ok2 && slices.Equal(x, y)
}

// Every fixture can be opened and records how to regenerate it.
func TestFixturesSayWhereTheyComeFrom(t *testing.T) {
	entries, err := files.ReadDir("fixtures")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f := Open(t, strings.TrimSuffix(e.Name(), ".safetensors"))
		for _, key := range []string{"generator", "remake", "numpy"} {
			if f.Metadata[key] == "" {
				t.Errorf("%s does not tell its %s", e.Name(), key)
			}
		}
	}
}
