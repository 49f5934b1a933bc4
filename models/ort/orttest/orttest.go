// Package orttest opens ONNX Runtime for tests.
package orttest

import (
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort"
)

// Open returns the runtime of this machine. It fails the test if there is none: a test that needs
// the runtime and skips without it would pass on a machine where nothing works.
func Open(tb testing.TB) *ort.Runtime {
	tb.Helper()
	path, err := ort.Find("")
	if err != nil {
		tb.Fatalf("%v (this test runs models; scripts/get-onnxruntime.sh fetches what it needs)", err)
	}
	r, err := ort.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// Session checks a model, loads it and closes it when the test ends.
func Session(tb testing.TB, m *onnx.ModelProto, opt ort.Options) *ort.Session {
	tb.Helper()
	if err := onnx.Check(m); err != nil {
		tb.Fatal(err)
	}
	b, err := onnx.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Open(tb).NewSession(b, opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}
