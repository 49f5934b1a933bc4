package ort_test

import (
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
)

func TestTry(t *testing.T) {
	if err := ort.Try(orttest.Open(t), ort.Device{}); err != nil {
		t.Error(err)
	}
}
