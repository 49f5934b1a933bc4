package ort_test

import (
	"testing"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

func TestDevice(t *testing.T) {
	for text, want := range map[string]ort.Device{
		"cpu":     {},
		"cuda":    {Kind: tensor.CUDA},
		"cuda:12": {Kind: tensor.CUDA, Index: 12},
	} {
		got, err := ort.ParseDevice(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v (%v), want %v", text, got, err, want)
		}
	}
	if d, err := ort.ParseDevice("cuda:0"); err != nil || d != (ort.Device{Kind: tensor.CUDA}) {
		t.Errorf("cuda:0 is %v (%v)", d, err)
	}
	for _, text := range []string{"", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "cuda:x", "cuda:9999", "CUDA"} {
		if d, err := ort.ParseDevice(text); err == nil {
			t.Errorf("%q is taken for %v", text, d)
		}
	}
}
